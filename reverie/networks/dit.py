"""A transformer over patches, told the noise level and the condition through its normalisations.

Reference: Peebles & Xie 2023, arXiv:2212.09748, section 3; Dosovitskiy et al. 2021, arXiv:2010.11929.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from reverie.networks.base import Block, Network, at_least
from reverie.networks.blocks import attend, fold, folded, unfold
from reverie.networks.embedding import SINUSOIDAL, Embedding, Features, channel_dropout
from reverie.networks.layers import Linear, Table
from reverie.networks.weights import initialise


class Layer(Block):
    """x + attention((1 + a) norm(x) + b), then x + W₂ SiLU(W₁((1 + c) norm(x) + d)); a … d from the embedding."""

    def __init__(self, width: int, *, heads: int, expansion: int, dropout: float, number: int) -> None:
        super().__init__()
        self.heads, self.dropout, self.number = heads, dropout, number
        self.modulation = Linear(width, 4 * width, gain=0.3)
        self.into, self.out = Linear(width, 3 * width, bias=False), Linear(width, width, gain=0.3)
        self.first, self.second = Linear(width, expansion * width), Linear(expansion * width, width, gain=0.3)

    def forward(self, x: Tensor, embedding: Tensor, noise: Tensor) -> Tensor:
        a, b, c, d = self.modulation(embedding)[:, None].to(x.dtype).chunk(4, 2)
        width = x.shape[2:]
        x = x + self.out(attend(self.into(F.layer_norm(x, width) * (1 + a) + b), self.heads))
        inner = F.silu(self.first(F.layer_norm(x, width) * (1 + c) + d))
        if self.dropout and self.training:
            inner = channel_dropout(inner.transpose(1, 2), noise, rate=self.dropout, layer=self.number).transpose(1, 2)
        return x + self.second(inner)


class Dit(Network):
    """`depth` transformer layers of `width` channels over patches of `patch` pixels a side, positions learned."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int = 1,
        classes: int = 0,
        conditions: int = 0,
        width: int = 128,
        depth: int = 6,
        heads: int = 2,
        expansion: int = 3,
        patch: int = 4,
        dropout: float = 0.0,
        features: Features = SINUSOIDAL,
    ) -> None:
        self._state(shape, outputs, classes, conditions)
        at_least(width=(width, 1), depth=(depth, 1), heads=(heads, 1), expansion=(expansion, 1), patch=(patch, 1))
        if len(shape) == 1:
            raise ValueError(f"a transformer over patches needs (C, *space), not {tuple(shape)}")
        if width % heads or not 0 <= dropout < 1:
            raise ValueError(f"width {width} must be a multiple of heads {heads}, dropout {dropout} in [0, 1)")
        self.width, self.depth, self.heads, self.expansion = width, depth, heads, expansion
        self.patch, self.dropout, self.features = patch, dropout, features
        channels = folded(shape, patch)
        count = math.prod(n if n == 1 else -(-n // patch) for n in shape[1:])
        self.embedding = Embedding(width, classes=classes, conditions=conditions, features=features)
        self.entry, self.places = Linear(channels, width, offset=0.5), Table(count, width)
        self.layers = nn.ModuleList(
            Layer(width, heads=heads, expansion=expansion, dropout=dropout, number=k) for k in range(depth)
        )
        self.exit = Linear(width, outputs * channels, gain=0.0)
        initialise(self, 0)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        embedding = self.embedding(noise, label, numbers)
        patches = fold(x, self.patch)
        tokens = self.entry(patches.flatten(2).transpose(1, 2))
        tokens = tokens + self.places.weight.to(tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens, embedding, noise)
        out = self.exit(F.layer_norm(tokens, tokens.shape[2:])).transpose(1, 2)
        return unfold(out.unflatten(2, patches.shape[2:]), self.patch, self.shape[1:])
