"""An adaptive embedded pair for the probability-flow ODE, with a step of its own for every example.

The ODE is dz/dθ = v̂ in the angle θ = atan(σ/α) (see `ode`), finite at both ends. Each example keeps its own θ and
step, so that its result does not depend on its neighbours and no example drifts behind a batch's average error.
What is one number an example (angles, steps, errors) is NumPy's; a step sends its coefficients to the device at once.
References: Dormand & Prince 1980; Hairer, Nørsett & Wanner 1993, section II.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.exponential import angle
from reverie.samplers.multistep import combine
from reverie.samplers.nodes import Node, Reals, nodes
from reverie.samplers.ode import runge_kutta, time_at_angle
from reverie.samplers.tableaux import BOGACKI_SHAMPINE, DORMAND_PRINCE, TABLEAUX, Tableau

Flags: TypeAlias = NDArray[np.bool_]

# From this angle (σ/α = 0.01) one step of third order, with its nodes inside, ends at σ = 0.
LAST_ANGLE = 0.01


class Count(NamedTuple):
    """Denoiser calls so far, and the last step size tried, in angle, of each example."""

    evaluations: int = 0
    size: Reals | None = None


class Place(NamedTuple):
    """Where each example is: z, its angle, and v̂ there."""

    z: Tensor
    theta: Reals
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

    @property
    def pair(self) -> Tableau:
        return BOGACKI_SHAMPINE if self.low_order else DORMAND_PRINCE

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
        self, denoiser: Denoiser, z: Tensor, t: float, last: float, size: Reals | None
    ) -> tuple[Tensor, int, Reals]:
        """z at the angle `last` of every example, the number of calls, and the step sizes for what follows."""
        schedule = gaussian(denoiser).schedule
        theta = np.full(len(z), angle(schedule, t)[0])
        (node,) = nodes(schedule, theta[None], z, t)
        here, calls = Place(z, theta, _slope(denoiser, z, node)), 1
        size = (theta - last) * 0.05 if size is None else size
        while (running := here.theta > last).any():
            step = np.minimum(size, here.theta - last)
            there, error = self._try(denoiser, schedule, here, step, last)
            calls += len(self.pair.c) - 1
            if np.isnan(error).any():
                raise FloatingPointError("Adaptive cannot go on from a value that is not finite")
            accepted = error <= 1
            other = step * (0.9 * np.maximum(error, 1e-10) ** (-1 / self.pair.order)).clip(0.2, 5.0)
            # a step cut short by the end says nothing against the longer one
            size = np.where(running, np.where(accepted, np.maximum(other, size), other), size)
            here = _chosen(accepted & running, there, here)
        return here.z, calls, size

    def _try(
        self, denoiser: Denoiser, schedule: Schedule, here: Place, step: Reals, last: float
    ) -> tuple[Place, Reals]:
        """One step of the pair from `here`, and the error of each example in units of the tolerance."""
        theta = np.maximum(here.theta - np.multiply.outer(self.pair.c[1:], step), last)
        z, back = here.z, _like(-step, here.z)
        slopes: tuple[Tensor, ...] = (here.slope,)
        for row, node in zip(self.pair.a[1:], nodes(schedule, theta, z), strict=True):
            z = torch.addcmul(here.z, _sum(row, slopes), back)
            slopes = (*slopes, _slope(denoiser, z, node))
        scale = torch.maximum(here.z.abs(), z.abs()).mul_(self.rtol).add_(self.atol)
        ratio = _sum(self.pair.error, slopes).div_(scale).flatten(1)
        norm = torch.linalg.vector_norm(ratio.detach(), dim=1).double().cpu().numpy()
        return Place(z, theta[-1], slopes[-1]), norm * step * ratio.shape[1] ** -0.5


def _sum(weights: tuple[float, ...], slopes: tuple[Tensor, ...]) -> Tensor:
    return combine(slopes[0], weights[0], weights[1:], slopes[1:])


def _like(rows: Reals | Flags, value: Tensor) -> Tensor:
    """Numbers (B,) as (B, 1, …), on the device of `value`, and in its precision if they are real."""
    kind = torch.bool if rows.dtype == bool else value.dtype
    return torch.from_numpy(rows).to(value.device, kind).reshape(-1, *(1,) * (value.dim() - 1))


def _chosen(rows: Flags, there: Place, here: Place) -> Place:
    """`there` for these examples (B,), `here` for the others."""
    if rows.all():
        return there
    which = _like(rows, here.z)
    z, slope = torch.where(which, there.z, here.z), torch.where(which, there.slope, here.slope)
    return Place(z, np.where(rows, there.theta, here.theta), slope)


def _slope(denoiser: Denoiser, z: Tensor, node: Node) -> Tensor:
    """v̂ = (z cos θ − x̂_0)/sin θ, with x_t = z √(α² + σ²)."""
    x0 = denoiser(z * node.norm, node.t).mean
    return (z * node.cot).addcmul_(x0, node.csc, value=-1)
