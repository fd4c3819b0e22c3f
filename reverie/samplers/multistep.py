"""Multistep methods: one evaluation a step, and a polynomial through the last few beliefs.

They start with order 1 (DDIM's step, exact from pure noise) and rise by one a step. What is remembered is a tuple of
(time, value), the newest first; coefficients are exact integrals (see `exponential`).
References: with each class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.ddim import ddim_coefficients
from reverie.samplers.exponential import Weights, angle, angle_weights, data_weights, noise_weights, point, time_weights

History = tuple[tuple[float, Tensor], ...]


def combine(x: Tensor, keep: float, weights: tuple[float, ...], values: tuple[Tensor, ...]) -> Tensor:
    """keep x + Σ w_j value_j, terms of weight 0 left out."""
    out = x * keep
    for weight, value in zip(weights, values, strict=False):
        if weight:
            out.add_(value, alpha=weight)
    return out


def nodes_of(history: History) -> tuple[tuple[float, ...], tuple[Tensor, ...]]:
    """The times and the values of a history."""
    times, values = zip(*history, strict=True)
    return times, values


class Multistep(Sampler, ABC):
    """x_s = a x_t + Σ w_j value_j over the last `order` values: subclasses say which, and how it is integrated."""

    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 4:
            raise ValueError(f"order must be between 1 and 4, not {self.order}")

    @abstractmethod
    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """What is remembered at t: x̂_0, ε̂ or v̂."""

    @abstractmethod
    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        """a and w_j of x_s = a x_t + Σ w_j value_j."""

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        return ()

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        x0 = denoiser(x, t).mean
        history: History = ((t, self.value(schedule, x, x0, t)), *state)[: self.order]
        return self.combined(schedule, x, x0, s, history), history

    def combined(self, schedule: Schedule, x: Tensor, x0: Tensor, s: float, history: History) -> Tensor:
        """x_s from the values so far, the newest of them at t."""
        times, values = nodes_of(history)
        if len(history) == 1:
            keep, pull, _ = ddim_coefficients(schedule, times[0], s)
            return combine(x, keep, (pull,), (x0,))
        keep, weights = self.weights(schedule, times, times[0], s)
        return combine(x, keep, weights, values)


@dataclass(frozen=True)
class DpmMultistep(Multistep):
    """DPM-Solver++ 2M, 3M (and 4M): x̂_0 as a polynomial in λ = log(α/σ), its integral exact.

    d(x/σ) = x̂_0 dρ,   x_s = (σ_s/σ_t) x_t + α_s ∫ e^{λ − λ_s} P(λ) dλ
    `midpoint` replaces the exact weight of the first difference by (1 − e^{−h})/2, as 2M was published; the order is
    the same. At σ_s = 0 the step is x̂_0.
    Reference: Lu et al. 2022, arXiv:2211.01095, algorithm 2; the published 3M leaves out half of the second difference.
    """

    order: int = 2
    midpoint: bool = False

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return x0

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        keep, weights, _ = data_weights(schedule, with_signal(schedule, nodes), t, s, 0.0, self.midpoint)
        return keep, weights


@dataclass(frozen=True)
class DpmNoise(Multistep):
    """Multistep DPM-Solver: ε̂ as a polynomial in λ = log(α/σ), its integral exact.

    d(x/α) = ε̂ dr,   x_s = (α_s/α_t) x_t + α_s ∫ P(λ) dr
    Reference: Lu et al. 2022, arXiv:2206.00927, equation 3.4; multistep as in arXiv:2211.01095, section 5.1.
    """

    order: int = 2
    midpoint: bool = False

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return noise_value(schedule, x, x0, t)

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        return noise_weights(schedule, with_signal(schedule, nodes), t, s, self.midpoint)


@dataclass(frozen=True)
class Deis(Multistep):
    """Diffusion exponential integrator: ε̂ as a polynomial in time, x_s = (α_s/α_t) x_t + α_s ∫ P(τ) r′(τ) dτ.

    Keeps its order to the end, r = σ/α being 0 at t = 0. Reference: Zhang & Chen 2023, arXiv:2204.13902, tAB-DEIS.
    """

    order: int = 3

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return noise_value(schedule, x, x0, t)

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        return time_weights(schedule, nodes, t, s)


@dataclass(frozen=True)
class Adams(Multistep):
    """Linear multistep (Adams–Bashforth with variable steps) for dz/dθ = v̂: nothing is infinite at either end.

    z = x/√(α² + σ²),   θ = atan(σ/α),   z_s = z_t + ∫ P(θ) dθ,   v̂ = (z cos θ − x̂_0)/sin θ
    References: Salimans & Ho 2022, arXiv:2202.00512, equation 28 (the ODE in the angle); Liu et al. 2022,
    arXiv:2202.09778 (linear multistep for diffusion).
    """

    order: int = 3

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return angular_velocity(schedule, x, x0, t)

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        return angle_weights(schedule, nodes, t, s)


@dataclass(frozen=True)
class Learned(Sampler):
    """The most general linear method: every value so far, with weights that `reverie tune` has fitted to one model.

    x_s = (n_s/n_t) x_t + n_s Σ_{j ≤ i} w_ij v̂(t_j) in step i,   n = √(α² + σ²),   v̂ = (z cos θ − x̂_0)/sin θ
    `weights` holds the rows of w one after the other (1, 2, …, N numbers) for the steps of `times`; on any other times
    it is `Adams` of order 3. Every multistep method, with or without a corrector, is a choice of w.
    Reference: Shaul et al. 2024, arXiv:2403.01329, section 3 (non-stationary solvers).
    """

    times: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    order: ClassVar[int] = 3
    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        steps = max(0, len(self.times) - 1)
        if len(self.weights) != steps * (steps + 1) // 2:
            raise ValueError(f"{steps} steps need {steps * (steps + 1) // 2} weights, not {len(self.weights)}")

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        return ()

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        x0 = denoiser(x, t).mean if point(schedule, t)[1] else x
        history: History = ((t, angular_velocity(schedule, x, x0, t)), *state)
        row = self._row(history, s)
        if row:
            (_, norm_t), (_, norm) = angle(schedule, t), angle(schedule, s)
            weights = tuple(norm * w for w in row)
            return combine(x, norm / norm_t, weights, nodes_of(history)[1]), history
        usual = Adams(self.order)
        return usual.combined(schedule, x, x0, s, history[: self.order]), history[: self.order]

    def _row(self, history: History, s: float) -> tuple[float, ...]:
        """The weights of the values so far, the newest first; empty off the fitted times."""
        count = len(history)
        if self.times[: count + 1] != (*(t for t, _ in reversed(history)), s):
            return ()
        return self.weights[count * (count - 1) // 2 : count * (count + 1) // 2]


def with_signal(schedule: Schedule, nodes: tuple[float, ...]) -> tuple[float, ...]:
    """The nodes but for a last one at pure noise, where λ is −∞ and a polynomial in it ends."""
    return nodes if len(nodes) == 1 or point(schedule, nodes[-1])[0] > 0 else nodes[:-1]


def noise_value(schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
    """ε̂ = (x − α x̂_0)/σ."""
    alpha, sigma, _ = point(schedule, t)
    return (x - alpha * x0).mul_(1 / sigma)


def angular_velocity(schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
    """v̂ = dz/dθ = (z cos θ − x̂_0)/sin θ = (α x/n − n x̂_0)/σ, n = √(α² + σ²); 0 at σ = 0, where x̂_0 = x."""
    alpha, sigma, _ = point(schedule, t)
    norm = angle(schedule, t)[1]
    return x.mul(alpha / (norm * sigma)).sub_(x0, alpha=norm / sigma) if sigma else x * 0.0
