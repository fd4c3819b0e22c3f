"""A U-Net: down to coarse and back to fine, with a shortcut (a sum) between equal sizes.

One class serves signals (C, L), images (C, H, W) and volumes (C, D, H, W) of any size.
Reference: Ronneberger et al. 2015, arXiv:1505.04597; Ho et al. 2020, arXiv:2006.11239, appendix B.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.networks.base import Network, at_least
from reverie.networks.blocks import Attention, Residual, double, fold, folded, unfold
from reverie.networks.embedding import SINUSOIDAL, Embedding, Features, waves_of_position
from reverie.networks.layers import channel_norm, convolution
from reverie.networks.weights import initialise

MOST_PLACES = 16  # waves of the position along an axis: the fastest has 2¹⁵ half turns


class Unet(Network):
    """`depth` residual blocks at each level; level k has width·multipliers[k] channels and 2^−k of the size.

    `patch`: pixels are first folded into channels, patch × patch at a time (faster, and loses nothing).
    `attention`: the levels, counted as in Python (−1 is the coarsest), where every pixel looks at all others.
    `places`: waves of the position along each axis that are read beside the pixels, for data whose parts have a fixed
    place, such as signals that are aligned: convolutions alone learn of it only from the border. 0 for none.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        outputs: int = 1,
        classes: int = 0,
        conditions: int = 0,
        width: int = 64,
        multipliers: tuple[int, ...] = (1, 2),
        depth: int = 1,
        attention: tuple[int, ...] = (-1,),
        heads: int = 1,
        patch: int = 1,
        dropout: float = 0.0,
        places: int = 0,
        features: Features = SINUSOIDAL,
    ) -> None:
        self._state(shape, outputs, classes, conditions)
        if len(shape) == 1 or not multipliers:
            raise ValueError(f"a U-Net needs (C, *space) and a level, not {tuple(shape)} and {tuple(multipliers)}")
        at_least(
            width=(width, 1), depth=(depth, 1), patch=(patch, 1), heads=(heads, 1), multipliers=(min(multipliers), 1)
        )
        if not 0 <= dropout < 1 or not 0 <= places <= MOST_PLACES:
            limits = f"dropout in [0, 1), places from 0 to {MOST_PLACES}"
            raise ValueError(f"a U-Net needs {limits}, not {dropout} and {places}")
        levels = len(multipliers)
        if any(not -levels <= level < levels for level in attention):
            raise ValueError(f"attention names levels {tuple(attention)}, but there are {levels}")
        self.width, self.multipliers, self.depth, self.attention = width, tuple(multipliers), depth, tuple(attention)
        self.heads, self.patch, self.dropout, self.features = heads, patch, dropout, features
        self.axes, self._blocks = len(shape) - 1, 0
        self.places = places
        size = tuple(-(-n // patch) for n in shape[1:])
        self.register_buffer("positions", waves_of_position(size, places), persistent=False)
        self.embedding = Embedding(4 * width, classes=classes, conditions=conditions, features=features)
        self._build([width * m for m in multipliers], {level % levels for level in attention})
        initialise(self, 0)

    def _build(self, widths: list[int], attentive: set[int]) -> None:
        channels = folded(self.shape, self.patch)
        self.entry = convolution(self.axes, channels + self.positions.shape[0], widths[0], offset=0.5)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.halve, self.widen = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            self.down.append(self._stage(width, level in attentive))
            if level + 1 < len(widths):
                self.halve.append(convolution(self.axes, width, widths[level + 1], stride=2))
                self.widen.append(convolution(self.axes, widths[level + 1], width, size=1))
                self.up.append(self._stage(width, level in attentive))
        self.exit = convolution(self.axes, widths[0], self.outputs * channels, gain=0.0)

    def _stage(self, width: int, attentive: bool) -> nn.ModuleList:
        """The blocks of one level on one side, each a residual block and perhaps an attention."""
        stage = nn.ModuleList()
        for _ in range(self.depth):
            size = 4 * self.width
            stage.append(Residual(self.axes, width, embedding=size, dropout=self.dropout, number=self._blocks))
            self._blocks += 1
            if attentive:
                stage.append(Attention(width, heads=self.heads))
        return stage

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        embedding = self.embedding(noise, label, numbers)
        h = fold(x, self.patch)
        if self.places:
            h = torch.cat((h, self.positions.to(h).expand(len(h), *self.positions.shape)), 1)
        if self.axes == 1:
            h = h.unsqueeze(2)
        h = self.entry(h.contiguous(memory_format=torch.channels_last_3d if self.axes == 3 else torch.channels_last))
        kept: list[Tensor] = []
        for level, stage in enumerate(self.down):
            h = self._run(stage, h, embedding, noise)
            if level < len(self.halve):
                kept.append(h)
                h = self.halve[level](h)
        for level in reversed(range(len(self.up))):
            h = double(self.widen[level](h), kept[level].shape[2:])
            h = self._run(self.up[level], h + kept[level], embedding, noise)
        h = self.exit(F.silu(channel_norm(h)))
        if self.axes == 1:
            h = h.squeeze(2)
        return unfold(h, self.patch, self.shape[1:])

    def _run(self, stage: nn.Module, h: Tensor, embedding: Tensor, noise: Tensor) -> Tensor:
        for part in stage:  # type: ignore[attr-defined]
            h = part(h, embedding, noise) if isinstance(part, Residual) else part(h)
        return h
