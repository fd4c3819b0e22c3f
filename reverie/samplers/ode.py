"""The probability-flow ODE by Runge–Kutta: Euler and Heun in r = σ/α, any tableau and an adaptive pair in the angle.

    dx/dt = f x − ½ g² ∇log p_t(x)   ⇔   dy/dr = ε̂, y = x/α   ⇔   dz/dθ = v̂, z = x/√(α² + σ²), θ = atan(σ/α)
Reference: Song et al. 2021, arXiv:2011.13456, equation 13; Salimans & Ho 2022, arXiv:2202.00512, equation 28.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.errors import unknown
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.ddim import ddim_coefficients
from reverie.samplers.exponential import angle, point, time_at
from reverie.samplers.multistep import angular_velocity, combine
from reverie.samplers.tableaux import TABLEAUX, Tableau

# Above this ratio σ/α a step in r says more of its length than of the data: Heun takes Euler's step there.
NO_SIGNAL = 200.0


@dataclass(frozen=True)
class Euler(Sampler):
    """First-order deterministic step in r = σ/α: y_s = y + (r_s − r_t) ε̂, which is DDIM with η = 0.

    Reference: Song et al. 2021, arXiv:2010.02502, equation 13.
    """

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        keep, pull, _ = ddim_coefficients(gaussian(denoiser).schedule, t, s)
        return (combine(x, keep, (pull,), (denoiser(x, t).mean,)) if pull else x * keep), state


@dataclass(frozen=True)
class Heun(Sampler):
    """Second-order deterministic step of the probability-flow ODE.

    In y = x/α, r = σ/α the ODE is dy/dr = (y − x̂0)/r, and one step is
        d  = (y − x̂0(xt, t))/r_t        slope at t
        y′ = y + (r_s − r_t) d           Euler
        d′ = (y′ − x̂0(xs, s))/r_s        slope at s
        ys = y + (r_s − r_t)(d + d′)/2
    Two evaluations a step; falls back to Euler where r_s = 0, and where r_t > 200 (no signal to speak of).

    Reference: Karras et al. 2022, Algorithm 1, arXiv:2206.00364.
    """

    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 2

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        (alpha_t, sigma_t, _), (alpha_s, sigma_s, _) = point(schedule, t), point(schedule, s)
        keep, pull, _ = ddim_coefficients(schedule, t, s)
        x0 = denoiser(x, t).mean if pull else x
        xs = combine(x, keep, (pull,), (x0,))
        if sigma_s == 0 or sigma_t > NO_SIGNAL * alpha_t or sigma_t == 0:
            return xs, state
        # x_s += α_s (r_s − r_t)(ε̂′ − ε̂)/2
        half = 0.5 * (sigma_s - sigma_t * alpha_s / alpha_t)
        new, old = half / sigma_s, half / sigma_t
        x0s = denoiser(xs, s).mean
        return combine(xs, 1 + new, (-alpha_s * new, -old, alpha_t * old), (x0s, x, x0)), state


@dataclass(frozen=True)
class RungeKutta(Sampler):
    """Fixed-step Runge–Kutta by a tableau, for dz/dθ = v̂ = (z cos θ − x̂_0)/sin θ: finite at both ends.

    `tableau` is a name of `reverie.samplers.tableaux.TABLEAUX`. A step that ends at σ = 0 uses the tableau's `finish`.
    References: Kutta 1901; Salimans & Ho 2022, arXiv:2202.00512, equation 28.
    """

    tableau: str = "kutta4"
    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.tableau not in TABLEAUX:
            raise ValueError(str(unknown("tableau", self.tableau, TABLEAUX)))

    @property
    def order(self) -> int:
        return TABLEAUX[self.tableau].order

    @property
    def evaluations(self) -> int:
        return len(TABLEAUX[self.tableau].c)

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        tableau = TABLEAUX[self.tableau]
        ends = point(gaussian(denoiser).schedule, s)[1] == 0
        return runge_kutta(denoiser, x, t, s, TABLEAUX[tableau.finish] if ends else tableau), state


def runge_kutta(denoiser: Denoiser, x: Tensor, t: float, s: float, tableau: Tableau) -> Tensor:
    """One explicit step of dz/dθ = v̂ from t to s."""
    schedule = gaussian(denoiser).schedule
    (theta_t, norm_t), (theta_s, norm_s) = angle(schedule, t), angle(schedule, s)
    h = theta_s - theta_t
    slopes: tuple[Tensor, ...] = ()
    for c, row in zip(tableau.c, tableau.a, strict=True):
        u = time_at_angle(schedule, theta_t + c * h) if 0 < c < 1 else (t if c == 0 else s)
        norm = angle(schedule, u)[1]
        xu = combine(x, norm / norm_t, tuple(norm * h * a for a in row), slopes) if row else x
        slopes = (*slopes, velocity(denoiser, schedule, xu, u))
    return combine(x, norm_s / norm_t, tuple(norm_s * h * b for b in tableau.b), slopes)


def velocity(denoiser: Denoiser, schedule: Schedule, x: Tensor, t: float) -> Tensor:
    """v̂(x_t, t); 0 without an evaluation where σ = 0."""
    x0 = denoiser(x, t).mean if point(schedule, t)[1] else x
    return angular_velocity(schedule, x, x0, t)


def time_at_angle(schedule: Schedule, theta: float) -> float:
    """The time at which atan(σ/α) = θ."""
    return time_at(schedule, -math.log(math.tan(theta)))
