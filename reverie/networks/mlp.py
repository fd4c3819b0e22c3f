"""A multi-layer perceptron with residual blocks, for points (D,) and anything else flattened.

Reference: the residual form of He et al. 2016, arXiv:1603.05027; modulation by Perez et al. 2018, arXiv:1709.07871.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.networks.base import Block, Network, at_least
from reverie.networks.embedding import SINUSOIDAL, Embedding, Features
from reverie.networks.layers import Linear
from reverie.networks.weights import initialise


class Residual(Block):
    """h + W₂ SiLU((1 + a) norm(W₁ norm(h)) + b), with (a, b) read from the embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Linear(width, width), Linear(width, width, gain=0.3)
        self.modulation = Linear(width, 2 * width, gain=0.3)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding).chunk(2, 1)
        inner = self.first(F.layer_norm(h, h.shape[1:]))
        return h + self.second(F.silu(torch.addcmul(inner + shift, inner, scale)))


class Mlp(Network):
    """Residual layers on the flattened input: `depth` blocks of `width` units.

    Beside x it reads `waves` sines of every coordinate's projection, which sharpens low-dimensional densities
    (Tancik et al. 2020, arXiv:2006.10739).
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int = 1,
        classes: int = 0,
        conditions: int = 0,
        width: int = 128,
        depth: int = 3,
        waves: int = 0,
        features: Features = SINUSOIDAL,
    ) -> None:
        self._state(shape, outputs, classes, conditions)
        at_least(width=(width, 1), depth=(depth, 0), waves=(waves, 0))
        self.width, self.depth, self.waves, self.features = width, depth, waves, features
        size = math.prod(shape)
        self.embedding = Embedding(width, classes=classes, conditions=conditions, features=features)
        self.waving = Linear(size, waves, gain=2.0 * math.sqrt(size)) if waves else None
        self.entry = Linear(size + 2 * waves, width, offset=0.5)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(depth))
        self.exit = Linear(width, outputs * size, gain=0.0)
        initialise(self, 0)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        embedding = self.embedding(noise, label, numbers)
        flat = x.flatten(1)
        if self.waving is not None:
            phase = self.waving(flat)
            flat = torch.cat((flat, phase.cos(), phase.sin()), 1)
        h = self.entry(flat)
        for block in self.blocks:
            h = block(h, embedding)
        out = self.exit(F.silu(F.layer_norm(h, h.shape[1:])))
        return out.reshape(x.shape[0], self.outputs * self.shape[0], *self.shape[1:])
