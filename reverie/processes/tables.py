"""Schedules given by a table β_1 … β_T, as the DDPM papers write them.

Grid point i/T has exactly ᾱ_i = Π_{j≤i} (1 − β_j). Between grid points log ᾱ is linear (β constant within a
step), so the schedule is defined for every t in [0, 1] and any sampler may place its steps anywhere.
References: Ho et al. 2020, arXiv:2006.11239, section 2; Nichol & Dhariwal 2021, arXiv:2102.09672, equation 17.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from reverie.core.tensors import Scalar, exp, expm1, sqrt
from reverie.processes.schedule import Schedule
from reverie.processes.schedules import cosine_angle


class BetaTable(Schedule, ABC):
    """α² = ᾱ interpolated from the table, σ² = 1 − ᾱ."""

    steps: int

    @abstractmethod
    def betas(self) -> Tensor:
        """β_1 … β_T, (T,) float64."""

    @functools.cached_property
    def _log_table(self) -> Tensor:
        """log ᾱ_0 … log ᾱ_T, (T + 1,) float64, ᾱ_0 = 1."""
        # kept for later: not as a tensor of inference mode, which could not be differentiated through
        with torch.inference_mode(False):
            return torch.cat((torch.zeros(1, dtype=torch.float64), torch.cumprod(1 - self.betas(), 0).log()))

    @functools.cached_property
    def _log_list(self) -> list[float]:
        return self._log_table.tolist()

    def _log_alpha_bar(self, t: Scalar) -> Scalar:
        place = t * self.steps
        if isinstance(place, Tensor):
            table = self._log_table
            index = place.detach().floor().clamp(0, self.steps - 1).long()
            return table[index] + (place - index) * (table[index + 1] - table[index])
        below = min(max(math.floor(place), 0), self.steps - 1)
        low, high = self._log_list[below], self._log_list[below + 1]
        return low + (place - below) * (high - low)

    @final
    def alpha(self, t: Scalar) -> Scalar:
        return exp(0.5 * self._log_alpha_bar(t))

    @final
    def sigma(self, t: Scalar) -> Scalar:
        return sqrt(-expm1(self._log_alpha_bar(t)))

    def _check(self, low: float, high: float) -> None:
        if self.steps < 1 or not 0 < low <= high < 1:
            raise ValueError(f"needs steps >= 1 and betas in (0, 1), not {self.steps} steps and [{low}, {high}]")


@dataclass(frozen=True)
class LinearBeta(BetaTable):
    """The DDPM table: β_i rises linearly from `start` to `end` in T steps.

    Reference: Ho et al. 2020, arXiv:2006.11239, section 4 (1e-4 to 0.02, T = 1000).
    """

    steps: int = 1000
    start: float = 1e-4
    end: float = 0.02

    def __post_init__(self) -> None:
        self._check(self.start, self.end)

    def betas(self) -> Tensor:
        return torch.linspace(self.start, self.end, self.steps, dtype=torch.float64)


@dataclass(frozen=True)
class ConstantBeta(BetaTable):
    """β_i = β for all T steps. Reference: the simplest case of Sohl-Dickstein et al. 2015, arXiv:1503.03585."""

    steps: int = 1000
    beta: float = 0.01

    def __post_init__(self) -> None:
        self._check(self.beta, self.beta)

    def betas(self) -> Tensor:
        return torch.full((self.steps,), self.beta, dtype=torch.float64)


@dataclass(frozen=True)
class Cosine(BetaTable):
    """The cosine table: ᾱ_i = f(i/T)/f(0), f(u) = cos²((u + s)/(1 + s) · π/2), with β_i clipped at 0.999.

    Reference: Nichol & Dhariwal 2021, arXiv:2102.09672, equation 17 (s = 0.008, T = 1000).
    """

    steps: int = 1000
    offset: float = 0.008
    clip: float = 0.999

    def __post_init__(self) -> None:
        self._check(self.clip, self.clip)
        if self.offset < 0:
            raise ValueError(f"offset must not be negative, not {self.offset}")

    def betas(self) -> Tensor:
        i = torch.arange(self.steps + 1, dtype=torch.float64)
        f = cosine_angle(i / self.steps, self.offset) ** 2
        assert isinstance(f, Tensor)
        return (1 - f[1:] / f[:-1]).clamp(max=self.clip)
