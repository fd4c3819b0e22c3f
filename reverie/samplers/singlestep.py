"""Single-step exponential methods: order k by k evaluations inside the step, nothing remembered between steps.

The stages lie at equal fractions of the step in λ = log(α/σ); each is an exact integral of the line through the first
and the latest value (see `exponential`). At σ_s = 0, and from pure noise, the step is DDIM's.
References: Lu et al. 2022, arXiv:2206.00927, algorithms 1 and 2; arXiv:2211.01095, algorithm 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.ddim import ddim_coefficients
from reverie.samplers.exponential import Weights, data_weights, noise_weights, point, time_at
from reverie.samplers.multistep import combine, noise_value


class Singlestep(Sampler, ABC):
    """Stages at λ_t + (i/k) h, i < k; the last line, from t through the latest stage, is integrated to s."""

    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 3:
            raise ValueError(f"order must be between 1 and 3, not {self.order}")

    @property
    def evaluations(self) -> int:
        return self.order

    @abstractmethod
    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """What the line goes through: x̂_0 or ε̂."""

    @abstractmethod
    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float, halved: bool) -> Weights:
        """a and w_j of x_s = a x_t + Σ w_j value_j."""

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        x0 = denoiser(x, t).mean
        lambda_t, lambda_s = point(schedule, t)[2], point(schedule, s)[2]
        if self.order == 1 or math.isinf(lambda_s - lambda_t):
            keep, pull, _ = ddim_coefficients(schedule, t, s)
            return combine(x, keep, (pull,), (x0,)), state
        nodes: tuple[float, ...] = (t,)
        values: tuple[Tensor, ...] = (self.value(schedule, x, x0, t),)
        for i in range(1, self.order):
            u = time_at(schedule, lambda_t + i / self.order * (lambda_s - lambda_t))
            xu = combine(x, *self.weights(schedule, nodes, t, u, False), values)
            latest = self.value(schedule, xu, denoiser(xu, u).mean, u)
            nodes, values = (t, u), (values[0], latest)
        return combine(x, *self.weights(schedule, nodes, t, s, self.order == 2), values), state


@dataclass(frozen=True)
class DpmSolver(Singlestep):
    """DPM-Solver-1, -2 and -3: ε̂ in d(x/α) = ε̂ dr, r = σ/α, with stages at thirds (halves) of the step in λ.

    Reference: Lu et al. 2022, arXiv:2206.00927, algorithms 1 and 2 (r_1 = ½; r_1, r_2 = ⅓, ⅔).
    """

    order: int = 3

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return noise_value(schedule, x, x0, t)

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float, halved: bool) -> Weights:
        return noise_weights(schedule, nodes, t, s, halved)


@dataclass(frozen=True)
class DpmSinglestep(Singlestep):
    """DPM-Solver++ (2S), (3S): x̂_0 in d(x/σ) = x̂_0 d(α/σ), with stages at thirds (halves) of the step in λ.

    Reference: Lu et al. 2022, arXiv:2211.01095, algorithm 1.
    """

    order: int = 2

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return x0

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float, halved: bool) -> Weights:
        keep, weights, _ = data_weights(schedule, nodes, t, s, 0.0, halved)
        return keep, weights
