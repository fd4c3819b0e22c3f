"""A denoising autoencoder: through a bottleneck of a few numbers and back, no shortcut.

Reference: Vincent et al. 2010, "Stacked denoising autoencoders", JMLR 11.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.networks.base import Network, at_least
from reverie.networks.embedding import SINUSOIDAL, Embedding, Features
from reverie.networks.layers import Linear
from reverie.networks.weights import initialise


class Autoencoder(Network):
    """decode(encode(x, noise), noise): `depth` layers of `width` units on each side of `code` numbers."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int = 1,
        classes: int = 0,
        conditions: int = 0,
        width: int = 256,
        depth: int = 2,
        code: int = 32,
        features: Features = SINUSOIDAL,
    ) -> None:
        self._state(shape, outputs, classes, conditions)
        at_least(width=(width, 1), depth=(depth, 1), code=(code, 1))
        self.width, self.depth, self.code, self.features = width, depth, code, features
        size = math.prod(shape)
        self.embedding = Embedding(width, classes=classes, conditions=conditions, features=features)
        self.encoder = nn.ModuleList(Linear(size if k == 0 else width, width, offset=0.5) for k in range(depth))
        self.bottleneck = Linear(width, code)
        self.decoder = nn.ModuleList(Linear(code if k == 0 else width, width) for k in range(depth))
        self.modulation = nn.ModuleList(Linear(width, 2 * width, gain=0.3) for _ in range(2 * depth))
        self.exit = Linear(width, outputs * size, gain=0.0)
        initialise(self, 0)

    def encode(self, x: Tensor, embedding: Tensor) -> Tensor:
        """The code of x, (B, code)."""
        return self.bottleneck(self._layers(self.encoder, self.modulation[: self.depth], x.flatten(1), embedding))

    def _layers(self, layers: nn.Module, modulation: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
        for layer, modulate in zip(layers, modulation, strict=True):  # type: ignore[call-overload]
            scale, shift = modulate(embedding).chunk(2, 1)
            inner = layer(h)
            h = F.silu(torch.addcmul(shift, F.layer_norm(inner, inner.shape[1:]), 1 + scale))
        return h

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        embedding = self.embedding(noise, label, numbers)
        h = self._layers(self.decoder, self.modulation[self.depth :], self.encode(x, embedding), embedding)
        return self.exit(h).reshape(x.shape[0], self.outputs * self.shape[0], *self.shape[1:])
