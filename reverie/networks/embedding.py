"""From a noise level, a label and numbers to one vector per example.

    e = MLP(features(noise)) + table[label] + MLP(numbers, known)
Unknown labels have a row of their own and unknown numbers a flag, so that one network is conditional and
unconditional at once (classifier-free guidance: Ho & Salimans 2022, arXiv:2207.12598).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.rng import Rng
from reverie.networks.layers import Linear, Table


@dataclass(frozen=True)
class Features(ABC):
    """Waves of the noise level c: √2 (cos ω c, sin ω c) for a set of frequencies ω, (B,) → (B, 2·count)."""

    @abstractmethod
    def frequencies(self) -> Tensor:
        """ω in radians per unit of noise level, (count,) float64."""


@dataclass(frozen=True)
class Sinusoidal(Features):
    """Frequencies in geometric progression from `slowest` to `fastest` (Vaswani et al. 2017, section 3.5)."""

    count: int = 16
    slowest: float = 0.25
    fastest: float = 16.0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.slowest <= self.fastest:
            raise ValueError(f"count {self.count}, slowest {self.slowest}, fastest {self.fastest} make no waves")

    def frequencies(self) -> Tensor:
        return torch.logspace(math.log10(self.slowest), math.log10(self.fastest), self.count, dtype=torch.float64)


@dataclass(frozen=True)
class Fourier(Features):
    """Random frequencies 2π N(0, scale²), the same for every network (Tancik et al. 2020, arXiv:2006.10739)."""

    count: int = 16
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1 or not self.scale > 0:
            raise ValueError(f"count {self.count}, scale {self.scale} make no waves")

    def frequencies(self) -> Tensor:
        return (
            2 * math.pi * self.scale * Rng(0).fork("fourier").normal(torch.empty(1, self.count, dtype=torch.float64))[0]
        )


SINUSOIDAL = Sinusoidal()


class Embedding(nn.Module):
    """e(noise, label, numbers), (B, width), with a SiLU already applied at the end."""

    frequencies: Tensor

    def __init__(self, width: int, *, classes: int = 0, conditions: int = 0, features: Features = SINUSOIDAL) -> None:
        super().__init__()
        self.classes, self.conditions = classes, conditions
        waves = features.frequencies().float()
        self.register_buffer("frequencies", waves, persistent=False)
        self.inner, self.outer = Linear(2 * len(waves), width), Linear(width, width)
        self.table = Table(classes + 1, width) if classes else None
        self.numbers = nn.ModuleList([Linear(2 * conditions, width), Linear(width, width)]) if conditions else None

    def forward(self, noise: Tensor, label: Tensor | None, numbers: Tensor | None) -> Tensor:
        """noise (B,), label (B,) or None, numbers (B, K) or None → (B, width).

        Raises ValueError for labels or numbers that the network was not made for.
        """
        if (label is not None and not self.classes) or (numbers is not None and not self.conditions):
            raise ValueError("a condition was given to a network that knows none of its kind")
        wave = noise[:, None] * self.frequencies
        wave = math.sqrt(2) * torch.cat((wave.cos(), wave.sin()), 1)
        out = self.outer(F.silu(self.inner(wave)))
        if self.table is not None:
            rows = torch.full(noise.shape, self.classes, device=noise.device) if label is None else label
            out = out + self.table(rows)
        if self.numbers is not None:
            values = noise.new_full((len(noise), self.conditions), math.nan) if numbers is None else numbers.to(noise)
            known = ~values.isnan()
            inner, outer = self.numbers
            out = out + outer(F.silu(inner(torch.cat((values.nan_to_num(0.0), known.to(values)), 1))))
        return F.silu(out)


def waves_of_position(size: tuple[int, ...], count: int) -> Tensor:
    """√2 (cos, sin)(π 2ᵏ (i + ½)/n), k = 0 … count − 1, of the position i on each axis: (2·count·axes, *size).

    The slowest wave makes half a turn from border to border, so that no two places are alike (Tancik et al. 2020).
    """
    turns = math.pi * 2.0 ** torch.arange(count, dtype=torch.float64)[:, None]
    waves = []
    for axis, n in enumerate(size):
        phase = turns * (torch.arange(n, dtype=torch.float64) + 0.5) / n
        wave = math.sqrt(2) * torch.cat((phase.cos(), phase.sin()))
        waves.append(wave.reshape(-1, *(n if k == axis else 1 for k in range(len(size)))).expand(-1, *size))
    return torch.cat(waves).float()


def channel_dropout(x: Tensor, noise: Tensor, *, rate: float, layer: int) -> Tensor:
    """x with whole channels silenced at random and the rest scaled by 1/(1 − rate): (B, C, ...).

    The choice is a hash of the example's own noise level (which is drawn anew whenever it is shown) and of the
    layer, so that training stays a function of its inputs and a resumed run drops what the whole one would have.
    Reference: Tompson et al. 2015, arXiv:1411.4280, section 3.2.
    """
    if not rate:
        return x
    own = noise.detach().double().cpu().view(torch.int64)
    keep = Rng(layer).fork("dropout").at(own).uniform(x.shape[0], x.shape[1]) >= rate
    mask = keep.to(x.device, x.dtype) / (1 - rate)
    return x * mask.reshape(*mask.shape, *(1,) * (x.dim() - 2))
