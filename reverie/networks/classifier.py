"""A classifier of noisy inputs, whose gradient in x guides sampling towards a class.

Reference: Dhariwal & Nichol 2021, arXiv:2105.05233, section 4.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.networks.base import at_least
from reverie.networks.blocks import Residual, fold, folded
from reverie.networks.embedding import SINUSOIDAL, Embedding, Features
from reverie.networks.layers import Linear, channel_norm, convolution
from reverie.networks.weights import initialise


class Labeller(nn.Module, ABC):
    """p(label | x, noise): logits (B, classes) for x (B, *shape) and noise (B,)."""

    shape: tuple[int, ...]
    classes: int

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The logits."""


class Classifier(Labeller):
    """Residual blocks at `levels` sizes, then a linear layer over every pixel that is left; points are images of one.

    The read-out knows places: where noise drowns every single pixel, a label is told by templates of the whole.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        classes: int,
        width: int = 32,
        levels: int = 3,
        patch: int = 1,
        features: Features = SINUSOIDAL,
    ) -> None:
        super().__init__()
        if classes < 2 or not 1 <= len(shape) <= 4 or min(shape) < 1:
            raise ValueError(f"a classifier needs 2 classes and (C, *space), not {classes} and {tuple(shape)}")
        at_least(width=(width, 1), levels=(levels, 1), patch=(patch, 1))
        self.shape, self.classes, self.width, self.levels = tuple(shape), classes, width, levels
        self.patch, self.features = patch, features
        self.axes = max(1, len(shape) - 1)
        self.embedding = Embedding(4 * width, features=features)
        space = tuple(shape) if len(shape) > 1 else (math.prod(shape), 1)
        self.entry = convolution(self.axes, folded(space, patch), width, offset=0.5)
        widths = [width * 2**k for k in range(levels)]
        self.blocks = nn.ModuleList(Residual(self.axes, w, embedding=4 * width) for w in widths)
        self.halve = nn.ModuleList(convolution(self.axes, w, 2 * w, stride=2) for w in widths[:-1])
        left = [-(-n // (patch * 2 ** (levels - 1))) for n in space[1:]]
        self.exit = Linear(widths[-1] * math.prod(left), classes, gain=0.0)
        initialise(self, 0)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        embedding = self.embedding(noise, None, None)
        h = fold(x if len(self.shape) > 1 else x[..., None], self.patch)
        h = h.unsqueeze(2) if self.axes == 1 else h
        h = self.entry(h.contiguous(memory_format=torch.channels_last_3d if self.axes == 3 else torch.channels_last))
        for level, block in enumerate(self.blocks):
            h = block(h, embedding, noise)
            h = self.halve[level](h) if level < len(self.halve) else h
        return self.exit(F.silu(channel_norm(h)).flatten(1))
