"""An adaptive embedded pair for the probability-flow ODE, with a step of its own for every example.

The ODE is dz/dθ = v̂ in the angle θ = atan(σ/α) (see `ode`), finite at both ends. Each example keeps its own θ and
step, so that its result does not depend on its neighbours and no example drifts behind a batch's average error.
References: Dormand & Prince 1980; Hairer, Nørsett & Wanner 1993, section II.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.exponential import angle
from reverie.samplers.ode import runge_kutta, time_at_angle
from reverie.samplers.tableaux import BOGACKI_SHAMPINE, DORMAND_PRINCE, TABLEAUX

# From this angle (σ/α = 0.01) one step of third order, with its nodes inside, ends at σ = 0.
LAST_ANGLE = 0.01


class Count(NamedTuple):
    """Denoiser calls so far, and the last step size tried, in angle, of each example."""

    evaluations: int = 0
    size: Tensor | None = None


class Place(NamedTuple):
    """Where each example is: z, its time and angle, and v̂ there."""

    z: Tensor
    t: Tensor
    theta: Tensor
    slope: Tensor


@dataclass(frozen=True)
class Adaptive(Sampler):
    """Dormand–Prince 5(4), or Bogacki–Shampine 3(2) with `low_order`, between the grid's times, to a tolerance.

    A step is accepted where the RMS over the elements of error/(atol + rtol max|z|) is at most 1, for each example
    alone; the next is 0.9 error^{−1/p} times as long, between 0.2 and 5 times. `state.evaluations` counts the calls.
    Any grid will do: its times are only where the trajectory is shown; one step from 1 to 0 is the cheapest.
    Reference: Dormand & Prince 1980; Hairer, Nørsett & Wanner 1993, equations II.4.11–4.13.
    """

    rtol: float = 1e-4
    atol: float = 1e-4
    low_order: bool = False
    order: ClassVar[int] = 0
    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (self.rtol > 0 and self.atol > 0):
            raise ValueError(f"rtol and atol must be positive, not {self.rtol} and {self.atol}")

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        return Count()

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        (theta, norm), (last, _) = angle(schedule, t), angle(schedule, s)
        calls, size = state
        middle = s
        if last == 0:
            middle = time_at_angle(schedule, min(LAST_ANGLE, theta))
            last = angle(schedule, middle)[0]
        if middle < t:
            z, used, size = self._integrate(denoiser, x / norm, t, last, size)
            x, calls = z * angle(schedule, middle)[1], calls + used
        if middle > s:
            finish = TABLEAUX["ralston3"]
            x, calls = runge_kutta(denoiser, x, min(middle, t), s, finish), calls + len(finish.c)
        return x, Count(calls, size)

    def _integrate(
        self, denoiser: Denoiser, z: Tensor, t: float, last: float, size: Tensor | None
    ) -> tuple[Tensor, int, Tensor]:
        """z at the angle `last` of every example, the number of calls, and the step sizes for what follows."""
        schedule = gaussian(denoiser).schedule
        rows = torch.full((len(z),), t, dtype=torch.float64)
        theta = torch.full_like(rows, angle(schedule, t)[0])
        here = Place(z, rows, theta, _slope(denoiser, schedule, z, rows, theta))
        size = (theta - last) * 0.05 if size is None else size
        calls = 1
        while bool((here.theta > last).any()):
            step = torch.minimum(size, here.theta - last)
            there, error, used = self._try(denoiser, schedule, here, step, last)
            calls += used
            accepted, running = error <= 1, here.theta > last
            order = BOGACKI_SHAMPINE.order if self.low_order else DORMAND_PRINCE.order
            factor = (0.9 * error.clamp(min=1e-10) ** (-1 / order)).clamp(0.2, 5.0)
            # a step cut short by the end says nothing against the longer one
            size = torch.where(running, torch.where(accepted, torch.maximum(step * factor, size), step * factor), size)
            here = Place(*(torch.where(_like(accepted & running, a), a, b) for a, b in zip(there, here, strict=True)))
        return here.z, calls, size

    def _try(
        self, denoiser: Denoiser, schedule: Schedule, here: Place, step: Tensor, last: float
    ) -> tuple[Place, Tensor, int]:
        """One step of the pair from `here`, the error of each example in units of the tolerance, and the calls made."""
        tableau = BOGACKI_SHAMPINE if self.low_order else DORMAND_PRINCE
        slopes, place = [here.slope], here
        for c, row in zip(tableau.c[1:], tableau.a[1:], strict=True):
            z = here.z
            for a, slope in zip(row, slopes, strict=False):
                z = z - expand(a * step, z) * slope
            theta = (here.theta - c * step).clamp(min=last)
            time = torch.as_tensor(schedule.time_of(-2 * theta.tan().log()))
            slopes.append(_slope(denoiser, schedule, z, time, theta))
            place = Place(z, time, theta, slopes[-1])
        error = torch.zeros_like(here.z)
        for weight, slope in zip(tableau.error, slopes, strict=True):
            error = error + weight * slope
        scale = self.atol + self.rtol * torch.maximum(here.z.abs(), place.z.abs())
        ratio = (error * expand(step, error) / scale).flatten(1)
        return place, ratio.square().mean(1).sqrt().double().cpu(), len(tableau.c) - 1


def _like(rows: Tensor, value: Tensor) -> Tensor:
    return rows.to(value.device).reshape(-1, *(1,) * (value.dim() - 1))


def _slope(denoiser: Denoiser, schedule: Schedule, z: Tensor, t: Tensor, theta: Tensor) -> Tensor:
    """v̂ = (z cos θ − x̂_0)/sin θ, with x_t = z √(α² + σ²)."""
    alpha, sigma = torch.as_tensor(schedule.alpha(t)), torch.as_tensor(schedule.sigma(t))
    x0 = denoiser(expand((alpha**2 + sigma**2).sqrt(), z) * z, t).mean
    return (expand(theta.cos(), z) * z - x0) / expand(theta.sin(), z)
