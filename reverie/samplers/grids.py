"""Time grids: where a trajectory's steps are spent. N steps are N + 1 falling times from 1 to 0.

A grid is independent of the sampler: any method may walk any grid. Times are float64 numbers.
References: with each class.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from reverie.processes import Gaussian, Process, Schedule


class Grid(ABC):
    """A rule for placing times."""

    @abstractmethod
    def place(self, process: Process, steps: int) -> list[float]:
        """N + 1 times, the first 1 and the last 0, falling."""

    @final
    def times(self, process: Process, steps: int) -> list[float]:
        """The checked times: strictly falling and finite. Raises ValueError for steps < 1 or a grid too fine."""
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        times = self.place(process, steps)
        if any(s >= t for t, s in itertools.pairwise(times)):
            raise ValueError(f"{type(self).__name__} cannot place {steps} distinct steps")
        return times


@dataclass(frozen=True)
class Uniform(Grid):
    """t_i = 1 − i/N. On a table of T steps with N dividing T it hits the table's points ('trailing' spacing)."""

    def place(self, process: Process, steps: int) -> list[float]:
        return [1 - i / steps for i in range(steps)] + [0.0]


@dataclass(frozen=True)
class Trailing(Grid):
    """Uniform, rounded to the points of a table of `table` steps: t_i = round(T − i T/N)/T, from t = 1.

    Reference: Lin et al. 2023, arXiv:2305.08891, table 2.
    """

    table: int = 1000

    def place(self, process: Process, steps: int) -> list[float]:
        if steps > self.table:
            raise ValueError(f"a table of {self.table} steps has no {steps} distinct ones")
        return [round(self.table - i * self.table / steps) / self.table for i in range(steps)] + [0.0]


@dataclass(frozen=True)
class Leading(Grid):
    """t_i = (1 + (N − 1 − i) ⌊T/N⌋)/T after the start at t = 1.

    The spacing of early DDIM code, which skips the noisiest steps.

    Reference: Song et al. 2021, arXiv:2010.02502, section 4.2; its fault is shown in Lin et al. 2023, section 3.3.
    """

    table: int = 1000

    def place(self, process: Process, steps: int) -> list[float]:
        stride = self.table // steps
        if not stride:
            raise ValueError(f"a table of {self.table} steps has no {steps} distinct ones")
        inner = [(1 + (steps - 1 - i) * stride) / self.table for i in range(steps)]
        return [1.0, *(t for t in inner[1:] if t < 1.0), 0.0] if steps > 1 else [1.0, 0.0]


@dataclass(frozen=True)
class Quadratic(Grid):
    """t_i = (1 − i/N)²: more steps near the data. Reference: Song et al. 2021, arXiv:2010.02502, appendix D.2."""

    power: float = 2.0

    def place(self, process: Process, steps: int) -> list[float]:
        return [(1 - i / steps) ** self.power for i in range(steps)] + [0.0]


class NoiseGrid(Grid, ABC):
    """A grid placed in the noise-to-signal ratio r = σ/α, from r_max to r_min in N points, and then 0.

    r_max is the schedule's own, held at `cap` where the signal ends at zero; the first time is 1 in any case.
    """

    sigma_min: float
    cap: float

    @abstractmethod
    def ratios(self, high: float, low: float, count: int) -> list[float]:
        """`count` falling ratios from high to low."""

    @final
    def place(self, process: Process, steps: int) -> list[float]:
        schedule = _schedule(process)
        last = float(schedule.alpha(1.0))
        high = min(self.cap, float(schedule.sigma(1.0)) / last) if last > 0 else self.cap
        ratios = self.ratios(high, self.sigma_min, steps) if steps > 1 else [high]
        return [1.0, *(float(schedule.time_of(-2 * math.log(r))) for r in ratios[1:]), 0.0]


@dataclass(frozen=True)
class Karras(NoiseGrid):
    """r_i = (r_max^{1/ρ} + i/(N−1) (r_min^{1/ρ} − r_max^{1/ρ}))^ρ.

    Reference: Karras et al. 2022, arXiv:2206.00364, equation 5 (ρ = 7).
    """

    rho: float = 7.0
    sigma_min: float = 0.002
    cap: float = 100.0

    def ratios(self, high: float, low: float, count: int) -> list[float]:
        a, b = high ** (1 / self.rho), low ** (1 / self.rho)
        return [(a + i / (count - 1) * (b - a)) ** self.rho for i in range(count)]


@dataclass(frozen=True)
class LogSnr(NoiseGrid):
    """Uniform in log-SNR (r geometric). Reference: Lu et al. 2022, arXiv:2206.00927, section 3.2."""

    sigma_min: float = 0.002
    cap: float = 100.0

    def ratios(self, high: float, low: float, count: int) -> list[float]:
        return [high * (low / high) ** (i / (count - 1)) for i in range(count)]


@dataclass(frozen=True)
class Angle(Grid):
    """θ_i = θ_max (1 − i/N)^power in the angle θ = atan(σ/α): cosine-like, for power 1 uniform along cos and sin.

    Reference: Salimans & Ho 2022, arXiv:2202.00512, appendix D (the angle); Nichol & Dhariwal 2021 (cosine).
    """

    power: float = 1.5

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ValueError(f"power must be positive, not {self.power}")

    def place(self, process: Process, steps: int) -> list[float]:
        schedule = _schedule(process)
        last = math.atan2(float(schedule.sigma(1.0)), float(schedule.alpha(1.0)))
        angles = [last * (1 - i / steps) ** self.power for i in range(1, steps)]
        return [1.0, *(_time_at_angle(schedule, theta) for theta in angles), 0.0]


@dataclass(frozen=True)
class Fitted(Grid):
    """Given times, as `reverie tune` chooses them for a model: N + 1 falling ones from 1 to 0.

    For another number of steps the times' angles θ = atan(σ/α), as a function of i/N, are interpolated by straight
    lines. References: Watson et al. 2021, arXiv:2106.03802; Sabour et al. 2024, arXiv:2404.14507.
    """

    points: tuple[float, ...] = (1.0, 0.0)

    def __post_init__(self) -> None:
        if self.points[0] != 1 or self.points[-1] != 0 or len(self.points) < 2:
            raise ValueError(f"points must run from 1 to 0, not from {self.points[0]} to {self.points[-1]}")
        if any(s >= t for t, s in itertools.pairwise(self.points)):
            raise ValueError("points must fall strictly")

    def place(self, process: Process, steps: int) -> list[float]:
        if steps == len(self.points) - 1:
            return list(self.points)
        schedule = _schedule(process)
        angles = [math.atan2(float(schedule.sigma(t)), float(schedule.alpha(t))) for t in self.points]
        inner = []
        for i in range(1, steps):
            place = i / steps * (len(angles) - 1)
            k = min(int(place), len(angles) - 2)
            inner.append(_time_at_angle(schedule, angles[k] + (place - k) * (angles[k + 1] - angles[k])))
        return [1.0, *inner, 0.0]


def _time_at_angle(schedule: Schedule, theta: float) -> float:
    return float(schedule.time_of(-2 * math.log(math.tan(theta))))


def _schedule(process: Process) -> Schedule:
    if not isinstance(process, Gaussian):
        raise ValueError(f"a grid in noise levels needs a Gaussian process, not {type(process).__name__}")
    return process.schedule
