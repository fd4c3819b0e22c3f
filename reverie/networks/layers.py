"""Layers whose first weights are drawn later, by `initialise`, and never from global randomness.

A weight starts as gain · N(0, 1)/√(fan-in), a bias as offset · N(0, 1); gain 0 makes a layer that starts silent.
The first layer of a network has an offset, or the normalisation behind it would hide how large the input is.
A signal is an image of height one, so that one, two and three axes share the code below.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """y = W x + b."""

    def __init__(self, inputs: int, outputs: int, *, gain: float = 1.0, offset: float = 0.0, bias: bool = True) -> None:
        self.gain, self.offset = gain, offset
        super().__init__(inputs, outputs, bias=bias)

    def reset_parameters(self) -> None:
        """Nothing yet: `initialise` draws."""


class Table(nn.Embedding):
    """A learned row per label."""

    gain, offset = 1.0, 0.0

    def reset_parameters(self) -> None:
        """Nothing yet: `initialise` draws."""


class Plane(nn.Conv2d):
    """A convolution over images."""

    gain, offset = 1.0, 0.0

    def reset_parameters(self) -> None:
        """Nothing yet: `initialise` draws."""


class Volume(nn.Conv3d):
    """A convolution over volumes."""

    gain, offset = 1.0, 0.0

    def reset_parameters(self) -> None:
        """Nothing yet: `initialise` draws."""


def convolution(
    axes: int, inputs: int, outputs: int, *, size: int = 3, stride: int = 1, gain: float = 1.0, offset: float = 0.0
) -> Plane | Volume:
    """A convolution that keeps the size (or halves it, rounding up, with stride 2) on 1, 2 or 3 axes."""
    flat = axes == 1
    spread = lambda n, along: (n, along) if flat else (along,) * axes  # noqa: E731
    layer = (Volume if axes == 3 else Plane)(
        inputs, outputs, spread(1, size), stride=spread(1, stride), padding=spread(0, size // 2)
    )
    layer.gain, layer.offset = gain, offset
    return layer


def channel_norm(x: Tensor) -> Tensor:
    """(x − mean)/std over the channels of each pixel: (B, C, *space).

    One pass in channels-last memory; group norm there is many times slower on a CPU, and mixes no more.
    """
    last = x.movedim(1, -1)
    return F.layer_norm(last, last.shape[-1:]).movedim(-1, 1)
