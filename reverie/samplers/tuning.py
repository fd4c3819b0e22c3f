"""Choosing grid and solver for one model: by the distance to its own exact trajectories.

From the same noise, a many-step solution of the model's probability-flow ODE is the truth. Every solver is tried on
every grid; then the weights of a general linear solver are fitted (`Learned`), step after step: those with which the
walk, from where it has come to, is nearest the exact trajectory, by least squares. The times themselves are moved in
λ = log(α/σ), one at a time, the weights fitted anew, while the root mean square distance at the end falls. The model
is not touched. References: Shaul et al. 2024, arXiv:2403.01329 (learned linear solvers); Watson et al. 2021,
arXiv:2106.03802, and Sabour et al. 2024, arXiv:2404.14507 (fitted grids; here the error at the end itself is measured).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, trajectory
from reverie.samplers.corrected import AdamsMoulton, UniPc
from reverie.samplers.exponential import angle, angle_weights, point, time_at
from reverie.samplers.grids import Angle, Fitted, Grid, Karras, LogSnr, Uniform
from reverie.samplers.multistep import Adams, Deis, DpmMultistep, DpmNoise, Learned, combine
from reverie.samplers.ode import Heun, RungeKutta, velocity

SOLVERS: tuple[Sampler, ...] = (
    *(AdamsMoulton(k) for k in (1, 2, 3, 4)),
    *(Adams(k) for k in (2, 3)),
    *(UniPc(2), UniPc(2, midpoint=True), UniPc(3)),
    *(DpmMultistep(2), DpmMultistep(2, midpoint=True), DpmMultistep(3), DpmNoise(2)),
    *(Deis(3), Heun(), RungeKutta("midpoint")),
)
# The ones that win on exact denoisers, for a network whose every evaluation takes time.
FEW = (AdamsMoulton(1), AdamsMoulton(2), AdamsMoulton(3), UniPc(2), DpmMultistep(2, midpoint=True), Deis(3))
# How many of the grids have their times moved; the ridge of the weights, relative to the values' mean square.
KEEP, RIDGE = 3, 1e-8
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


class Path(NamedTuple):
    """Exact trajectories: falling angles θ_k, and z and v̂ = dz/dθ there (at θ = 0 the v̂ before it)."""

    angles: tuple[float, ...]
    places: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]

    @property
    def end(self) -> Tensor:
        return self.places[-1]

    def at(self, theta: float) -> Tensor:
        """z at the angle θ, by cubic Hermite interpolation."""
        k = next(k for k, nxt in enumerate(self.angles[1:]) if nxt <= theta)
        h = self.angles[k + 1] - self.angles[k]
        u = (theta - self.angles[k]) / h
        first = combine(self.places[k], (1 + 2 * u) * (1 - u) ** 2, (u * (1 - u) ** 2 * h,), (self.slopes[k],))
        last = combine(self.places[k + 1], u * u * (3 - 2 * u), (u * u * (u - 1) * h,), (self.slopes[k + 1],))
        return first + last


@torch.inference_mode()
def reference(denoiser: Denoiser, x1: Tensor, *, steps: int = 60) -> Path:
    """The trajectories of the model's ODE by 4 `steps` evaluations of Kutta's method in the angle."""
    schedule = gaussian(denoiser).schedule
    walk = trajectory(denoiser, RungeKutta("kutta4"), x1, Angle(2.0).times(denoiser.process, steps), rng=Rng(0))
    points = [(angle(schedule, step.t), step.x, step.t) for step in walk]
    slopes = [velocity(denoiser, schedule, x, t) for _, x, t in points[:-1]]
    places = tuple(x / norm for (_, norm), x, _ in points)
    return Path(tuple(theta for (theta, _), _, _ in points), places, (*slopes, slopes[-1]))


@torch.inference_mode()
def fit_weights(
    denoiser: Denoiser, x1: Tensor, path: Path, times: tuple[float, ...], rows: slice = slice(None)
) -> tuple[Learned, float]:
    """The weights nearest the exact trajectories on these times, and the root mean square distance at the end.

    w_i = Adams' + argmin_d |z(θ_{i+1}) − z_i − Σ_j (Adams' + d_j) v̂_j|² + ridge |d|², over some of the rows.
    """
    schedule = gaussian(denoiser).schedule
    weights: list[float] = []
    x, nodes, values = x1, tuple[float, ...](), tuple[Tensor, ...]()
    for t, s in itertools.pairwise(times):
        nodes, values = (t, *nodes), (velocity(denoiser, schedule, x, t), *values)
        keep, (theta, norm) = angle(schedule, s)[1] / angle(schedule, t)[1], angle(schedule, s)
        plain = torch.zeros(len(values), dtype=torch.float64)
        usual = angle_weights(schedule, nodes[: Learned.order], t, s)[1]
        plain[: len(usual)] = torch.tensor(usual).double() / norm
        terms = torch.stack([value[rows].double().flatten() for value in values], 1).cpu()
        missing = (path.at(theta) - x * (keep / norm))[rows].double().flatten().cpu() - terms @ plain
        square = terms.T @ terms
        ridge = RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
        row = (plain + torch.linalg.solve(square + ridge, terms.T @ missing)).tolist()
        weights += row
        x = combine(x, keep, tuple(norm * w for w in row), values)
    return Learned(times, tuple(weights)), distance(x[rows], path.end[rows])


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
    path = reference(denoiser, x1)
    cut = max(1, len(x1) * 3 // 4)
    seen, unseen = slice(cut), slice(cut, None) if cut < len(x1) else slice(None)
    say(f"trying {len(solvers)} solvers on {len(GRIDS)} grids")
    found = survey(denoiser, x1, path.end, budget, solvers=solvers, rows=seen)
    plain = min(found, key=lambda choice: choice.error)

    def fitted(times: tuple[float, ...]) -> float:
        return fit_weights(denoiser, x1, path, times, seen)[1]

    begin = sorted((fitted(times), times) for times in _placed(denoiser, budget))
    candidates = [plain]
    for error, times in begin[:KEEP]:
        times, value = fit_times(schedule, times, fitted, rounds=rounds)
        say(f"weights fitted: {error:.4g}, and times: {value:.4g}")
        candidates.append(Choice(fit_weights(denoiser, x1, path, times, seen)[0], times, value, "learned weights"))
    held_out = [_error(denoiser, c.sampler, x1, c.times, path.end, unseen) for c in candidates]
    shown = [Choice(c.sampler, c.times, e, c.label) for c, e in zip(candidates, held_out, strict=True)]
    return min(shown, key=lambda choice: choice.error), shown[0]


def _placed(denoiser: Denoiser, steps: int) -> Iterator[tuple[float, ...]]:
    """Times to begin from: the grids', of those that can place so many."""
    for grid in (*GRIDS, *(Angle(power) for power in (1.25, 1.75, 2.5))):
        with contextlib.suppress(ValueError):
            yield tuple(grid.times(denoiser.process, steps))
