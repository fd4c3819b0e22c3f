"""The network of the 2015 paper: convolutions at several scales at once, and time by bumps at the very end.

A layer averages its input down to `scales` sizes, convolves each, brings them back to full size, adds, and bends:
    h' = softplus(Σ_k up_k(conv_k(pool_k(h))))
Time enters nowhere else than in the read-out: at every pixel `bumps` answers y_j, mixed by normalised bumps over the
noise level c,
    out = Σ_j y_j g_j(c),   g_j(c) = exp(−½ (c − τ_j)²/w²)/Σ_i exp(−½ (c − τ_i)²/w²),   τ_j even over ±2, w apart
so that one pass answers for every time. Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, appendix D.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.networks.base import Block, Network, at_least
from reverie.networks.blocks import fold, folded, spread, unfold
from reverie.networks.embedding import SINUSOIDAL, Embedding, Features
from reverie.networks.layers import convolution
from reverie.networks.weights import initialise

REACH = 2.0  # bumps stand between noise levels ±2, log SNR ∓16


class Scales(Block):
    """softplus(Σ_k up_k(conv_k(pool_k(h)))/√scales)."""

    def __init__(self, axes: int, inputs: int, width: int, scales: int) -> None:
        super().__init__()
        self.pool = F.avg_pool3d if axes == 3 else F.avg_pool2d
        self.at = nn.ModuleList(convolution(axes, inputs, width, offset=0.5) for _ in range(scales))

    def forward(self, h: Tensor) -> Tensor:
        size, total = h.shape[2:], self.at[0](h)
        for layer in self.at[1:]:  # type: ignore[attr-defined]
            kernel = tuple(min(2, n) for n in h.shape[2:])
            h = self.pool(h, kernel, ceil_mode=True, count_include_pad=False)
            total = total + F.interpolate(layer(h), size)
        return F.softplus(total / math.sqrt(len(self.at)))


class MultiScale(Network):
    """`depth` layers of `width` channels at `scales` sizes; the read-out mixes `bumps` answers by time.

    `patch`: pixels are first folded into channels, as in the U-Net.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int = 1,
        classes: int = 0,
        conditions: int = 0,
        width: int = 64,
        depth: int = 3,
        scales: int = 3,
        bumps: int = 10,
        patch: int = 1,
        features: Features = SINUSOIDAL,
    ) -> None:
        self._state(shape, outputs, classes, conditions)
        if len(shape) == 1:
            raise ValueError(f"a multi-scale network needs (C, *space), not {tuple(shape)}")
        at_least(width=(width, 1), depth=(depth, 1), scales=(scales, 1), bumps=(bumps, 2), patch=(patch, 1))
        self.width, self.depth, self.scales, self.bumps = width, depth, scales, bumps
        self.patch, self.features, self.axes = patch, features, len(shape) - 1
        channels = folded(shape, patch)
        self.embedding = Embedding(width, classes=classes, conditions=conditions, features=features)
        self.layers = nn.ModuleList(
            Scales(self.axes, channels if k == 0 else width, width, scales) for k in range(depth)
        )
        self.exit = convolution(self.axes, width, bumps * outputs * channels, size=1, gain=0.0)
        initialise(self, 0)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        condition = self.embedding(torch.zeros_like(noise), label, numbers)  # no time in here
        h = fold(x, self.patch)
        h = h.unsqueeze(2) if self.axes == 1 else h
        h = h.contiguous(memory_format=torch.channels_last_3d if self.axes == 3 else torch.channels_last)
        for k, layer in enumerate(self.layers):
            h = layer(h)
            h = h + spread(condition, h).to(h.dtype) if k == 0 else h
        answers = self.exit(h).unflatten(1, (self.bumps, -1))
        out = torch.einsum("bj,bj...->b...", bumps(noise, self.bumps).to(answers.dtype), answers)
        return unfold(out.squeeze(2) if self.axes == 1 else out, self.patch, self.shape[1:])


def bumps(noise: Tensor, count: int) -> Tensor:
    """g_j(c) of each noise level, (B, count), adding up to 1."""
    centres = torch.linspace(-REACH, REACH, count, dtype=noise.dtype, device=noise.device)
    distance = 2 * REACH / (count - 1)
    return (-0.5 * ((noise[:, None] - centres) / distance).square()).softmax(1)
