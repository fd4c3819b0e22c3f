"""Which noise levels are trained: distributions of t, each a quantile function of uniform numbers.

`stratified` replaces independent uniforms by a low-discrepancy sequence over the batch (u + i φ mod 1, φ the golden
ratio's fraction), `antithetic` pairs examples as (u, 1 − u); both leave each example's own law unchanged.
References: with each class; Kingma et al. 2021, arXiv:2107.00630, appendix I.1 (low-discrepancy times).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers.decoder import schedule_of
from reverie.processes import Process

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # the golden ratio's fraction in 64 bits, as a signed whole number


@dataclass(frozen=True, kw_only=True)
class Times(ABC):
    """A law of training times."""

    stratified: bool = True
    antithetic: bool = False

    @abstractmethod
    def quantile(self, u: Tensor, process: Process) -> Tensor:
        """The times (B,) at which the distribution function is u in (0, 1)."""

    @final
    def shares(self, rng: Rng, rows: int) -> Tensor:
        """The values u (B,) float64 in (0, 1) of the distribution function, for the examples that `rng` names."""
        number = rng.numbers(rows)
        partner, mirrored = (number // 2, number % 2 == 1) if self.antithetic else (number, number < 0)
        if self.stratified:
            # in whole numbers, which wrap: a float would lose the fraction of a large product
            fraction = ((partner * GOLDEN) >> 12).bitwise_and((1 << 52) - 1).to(torch.float64) * 2.0**-52
            u = (rng.at(torch.zeros(1, dtype=torch.int64)).fork("shift").uniform(1) + fraction) % 1.0
        else:
            u = rng.at(partner).fork("times").uniform(rows)
        return torch.where(mirrored, 1 - u, u).clamp(1e-12, 1 - 1e-12)

    @final
    def draw(self, process: Process, rng: Rng, rows: int) -> Tensor:
        """Times (B,) float64 in (0, 1] for the examples that `rng` names."""
        return self.quantile(self.shares(rng, rows), process)


@dataclass(frozen=True, kw_only=True)
class Continuous(Times):
    """t uniform on (low, 1]. Reference: Song et al. 2021, arXiv:2011.13456, section 3.3 (low 1e-5)."""

    low: float = 1e-5

    def quantile(self, u: Tensor, process: Process) -> Tensor:
        return self.low + (1 - self.low) * u


@dataclass(frozen=True, kw_only=True)
class Discrete(Times):
    """t = i/T with i uniform on {first, …, T}: U{1..T} of Ho et al. 2020, algorithm 1; U{2..T} with first = 2."""

    steps: int = 1000
    first: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.steps:
            raise ValueError(f"first must be between 1 and {self.steps}, not {self.first}")

    def quantile(self, u: Tensor, process: Process) -> Tensor:
        return (self.first + (u * (self.steps - self.first + 1)).floor()) / self.steps


@dataclass(frozen=True, kw_only=True)
class LogNormal(Times):
    """log r ~ N(mean, std²) for r = σ/α, within the schedule. Reference: Karras et al. 2022, table 1 (−1.2, 1.2)."""

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Tensor, process: Process) -> Tensor:
        log_ratio = self.mean + self.std * torch.special.ndtri(u)
        return torch.as_tensor(schedule_of(process).time_of(-2 * log_ratio)).clamp(min=1e-7)


@dataclass(frozen=True, kw_only=True)
class LogUniform(Times):
    """log r uniform between the logarithms of `low` and `high` (or the schedule's own end, if lower)."""

    low: float = 0.002
    high: float = 80.0

    def quantile(self, u: Tensor, process: Process) -> Tensor:
        schedule = schedule_of(process)
        low = torch.tensor([self.low], dtype=torch.float64).log()
        last = -schedule.log_snr(1.0) / 2
        high = torch.tensor([self.high], dtype=torch.float64).log().clamp(max=last)
        return torch.as_tensor(schedule.time_of(-2 * (low + (high - low) * u))).clamp(min=1e-7)


@dataclass(frozen=True, kw_only=True)
class LogSnrRange(Times):
    """λ = log SNR uniform from `first` to `last` (or the schedule's own end, if higher). Kingma et al. 2021."""

    first: float = 13.3
    last: float = -13.3

    def quantile(self, u: Tensor, process: Process) -> Tensor:
        schedule = schedule_of(process)
        last = max(self.last, float(schedule.log_snr(1.0)))
        return torch.as_tensor(schedule.time_of(self.first + (last - self.first) * u)).clamp(min=1e-12)
