"""Choosing grid and solver for one model: by the distance to its own exact trajectories' end points.

From the same noise, a many-step solution of the model's probability-flow ODE is the truth. Every candidate solver is
tried on every candidate grid; the best few then have their times moved, one at a time, in λ = log(α/σ), each move kept
if the root mean square distance to the truth falls. The model itself is not touched.
References: Watson et al. 2021, arXiv:2106.03802; Sabour et al. 2024, arXiv:2404.14507 (fitted grids); here the error
that is made small is the one at the end, measured, not a bound on it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, trajectory
from reverie.samplers.corrected import AdamsMoulton, UniPc
from reverie.samplers.exponential import point, time_at
from reverie.samplers.grids import Angle, Fitted, Grid, Karras, LogSnr, Uniform
from reverie.samplers.multistep import Adams, Deis, DpmMultistep, DpmNoise
from reverie.samplers.ode import Heun, RungeKutta

SOLVERS: tuple[Sampler, ...] = (
    *(AdamsMoulton(k) for k in (1, 2, 3)),
    *(Adams(k) for k in (2, 3)),
    *(UniPc(2), UniPc(2, midpoint=True), UniPc(3)),
    *(DpmMultistep(2), DpmMultistep(2, midpoint=True), DpmMultistep(3), DpmNoise(2)),
    *(Deis(3), Heun(), RungeKutta("midpoint")),
)
# The ones that win on exact denoisers, for a network whose every evaluation takes time.
FEW = (AdamsMoulton(1), AdamsMoulton(2), AdamsMoulton(3), UniPc(2), DpmMultistep(2, midpoint=True), Deis(3))
GRIDS: tuple[Grid, ...] = (
    Uniform(),
    *(Angle(power) for power in (1.0, 1.5, 2.0, 3.0)),
    *(LogSnr(low, 20.0) for low in (0.002, 0.01, 0.05)),
    *(Karras(7.0, low, 20.0) for low in (0.002, 0.01, 0.05)),
)


@dataclass(frozen=True)
class Choice:
    """A solver on a grid, and its root mean square distance per element to the exact end points."""

    sampler: Sampler
    times: tuple[float, ...]
    error: float
    label: str

    @property
    def grid(self) -> Fitted:
        return Fitted(self.times)


@torch.inference_mode()
def end_point(denoiser: Denoiser, sampler: Sampler, x1: Tensor, times: list[float] | tuple[float, ...]) -> Tensor:
    """Where a sampler's trajectory from x_1 ends."""
    *_, last = trajectory(denoiser, sampler, x1, list(times), rng=Rng(0))
    return last.x


def reference(denoiser: Denoiser, x1: Tensor, *, steps: int = 60) -> Tensor:
    """The end points of the model's ODE by 4 `steps` evaluations of Kutta's method in the angle."""
    return end_point(denoiser, RungeKutta("kutta4"), x1, Angle(2.0).times(denoiser.process, steps))


def evaluations(sampler: Sampler, steps: int) -> int:
    """Calls of the denoiser in a trajectory of `steps` steps: a two-stage Heun needs one at the last step."""
    last = 1 if isinstance(sampler, Heun) else sampler.evaluations
    return (steps - 1) * sampler.evaluations + last


def steps_for(sampler: Sampler, budget: int) -> int:
    """The most steps that a number of evaluations pays for; 0 if not even one."""
    steps = 0
    while evaluations(sampler, steps + 1) <= budget:
        steps += 1
    return steps


def distance(a: Tensor, b: Tensor) -> float:
    """Root mean square difference per element; infinite where something is not finite."""
    value = float((a - b).double().square().mean().sqrt())
    return value if math.isfinite(value) else math.inf


def survey(
    denoiser: Denoiser,
    x1: Tensor,
    truth: Tensor,
    budget: int,
    *,
    solvers: tuple[Sampler, ...] = SOLVERS,
    rows: slice = slice(None),
) -> Iterator[Choice]:
    """Every solver on every grid within a number of evaluations, the distance taken over some of the rows."""
    for sampler in solvers:
        steps = steps_for(sampler, budget)
        for grid in GRIDS if steps else ():
            try:
                times = tuple(grid.times(denoiser.process, steps))
            except ValueError:
                continue
            error = _error(denoiser, sampler, x1, times, truth, rows)
            yield Choice(sampler, times, error, f"{sampler!r} on {grid!r}")


def _error(
    denoiser: Denoiser, sampler: Sampler, x1: Tensor, times: tuple[float, ...], truth: Tensor, rows: slice
) -> float:
    """Distance to the exact end points; infinite where the trajectory is not finite."""
    try:
        return distance(end_point(denoiser, sampler, x1, times)[rows], truth[rows])
    except (FloatingPointError, ZeroDivisionError, OverflowError):
        return math.inf


def fit_times(
    schedule: Schedule, times: tuple[float, ...], error: Callable[[tuple[float, ...]], float], *, rounds: int = 24
) -> tuple[tuple[float, ...], float]:
    """Move each inner time by a share of the way to its neighbours in λ while the error falls.

    A pattern search: a move that helps is tried 1.5 times as far next, one that does not half as far the other way.
    """
    places = [point(schedule, t)[2] for t in times[1:-1]]
    if not places:
        return times, error(times)
    # the ends are at infinite λ: their neighbours move as if one typical step away
    typical = (places[-1] - places[0]) / max(1, len(places) - 1) if len(places) > 1 else 1.0
    strides = [0.3] * len(places)
    best = error(times)
    for _ in range(rounds):
        for i in range(len(places)):
            low = places[i - 1] if i else max(places[0] - typical, point(schedule, 1.0)[2])
            high = places[i + 1] if i + 1 < len(places) else places[-1] + typical
            room = high - places[i] if strides[i] > 0 else places[i] - low
            moved = [*places[:i], places[i] + strides[i] * room, *places[i + 1 :]]
            candidate = (1.0, *(time_at(schedule, v) for v in moved), 0.0)
            falling = all(s < t for t, s in itertools.pairwise(candidate))
            value = error(candidate) if falling else math.inf
            if value < best:
                best, places, times = value, moved, candidate
                strides[i] = math.copysign(min(abs(strides[i]) * 1.5, 0.8), strides[i])
            else:
                strides[i] = -strides[i] * 0.6
    return times, best


def tune(
    denoiser: Denoiser,
    x1: Tensor,
    budget: int,
    *,
    keep: int = 4,
    rounds: int = 24,
    solvers: tuple[Sampler, ...] = SOLVERS,
    progress: Callable[[str], None] | None = None,
) -> tuple[Choice, Choice]:
    """The best fitted choice for a number of evaluations, and the best unfitted one it is to be compared with.

    `x1` are starts (B, *D) from the prior; the last quarter is not fitted to: both errors are measured on it. The
    unfitted choice is among the candidates, so that fitting can only help there.
    """
    schedule = gaussian(denoiser).schedule
    say = progress or (lambda line: None)
    truth = reference(denoiser, x1)
    cut = max(1, len(x1) * 3 // 4)
    seen, unseen = slice(cut), slice(cut, None) if cut < len(x1) else slice(None)
    say(f"trying {len(solvers)} solvers on {len(GRIDS)} grids")
    found = sorted(survey(denoiser, x1, truth, budget, solvers=solvers, rows=seen), key=lambda choice: choice.error)
    fitted: list[Choice] = []
    for choice in _varied(found, keep):
        error = functools.partial(_of_times, denoiser, choice.sampler, x1, truth, seen)
        times, value = fit_times(schedule, choice.times, error, rounds=rounds)
        say(f"{choice.label}: {choice.error:.4g}, fitted {value:.4g}")
        fitted.append(Choice(choice.sampler, times, value, f"{choice.sampler!r} on fitted times"))
    candidates = [*fitted, found[0]]
    held_out = [_error(denoiser, c.sampler, x1, c.times, truth, unseen) for c in candidates]
    shown = [Choice(c.sampler, c.times, e, c.label) for c, e in zip(candidates, held_out, strict=True)]
    return min(shown, key=lambda choice: choice.error), shown[-1]


def _of_times(
    denoiser: Denoiser, sampler: Sampler, x1: Tensor, truth: Tensor, rows: slice, times: tuple[float, ...]
) -> float:
    return _error(denoiser, sampler, x1, times, truth, rows)


def _varied(found: list[Choice], keep: int) -> Iterator[Choice]:
    """The best choices, at most two with one solver."""
    used: list[Sampler] = []
    for choice in found:
        if len(used) < keep and used.count(choice.sampler) < 2:
            used.append(choice.sampler)
            yield choice
