"""Predictor and corrector with one evaluation a step (PEC): the evaluation at the predicted point corrects it.

    predict   x_s = a x_t + Σ w_j value_j         through the last k values
    evaluate  value_s at the predicted x_s
    correct   x_s ← a x_t + Σ w_j value_j         through value_s and those k, before the next step leaves from it
The corrector's order is one more than the predictor's, and so is the method's. At t = 0 nothing is evaluated: the last
step is predicted only. References: with each class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.ddim import ddim_coefficients
from reverie.samplers.exponential import Weights, angle_weights, data_weights
from reverie.samplers.multistep import History, angular_velocity, combine, nodes_of, with_signal


class Memory(NamedTuple):
    """The values so far, the newest first; the corrected point that the newest step left from, and how many it used."""

    history: History = ()
    x: Tensor | None = None
    used: int = 0


class Corrected(Sampler, ABC):
    """Subclasses say which value is remembered and how a polynomial through values is integrated."""

    predictor: int
    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1 <= self.predictor <= 4:
            raise ValueError(f"predictor must be between 1 and 4, not {self.predictor}")

    @property
    def order(self) -> int:
        return self.predictor + 1

    @abstractmethod
    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """What is remembered at t: x̂_0 or v̂."""

    @abstractmethod
    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        """a and w_j of x_s = a x_t + Σ w_j value_j; as many w_j as the nodes allow."""

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        return Memory()

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        x0 = denoiser(x, t).mean
        history: History = ((t, self.value(schedule, x, x0, t)), *state.history)
        if state.x is not None:
            times, values = nodes_of(history[: state.used + 1])
            x = combine(state.x, *self.weights(schedule, times, times[1], t), values)
        history = history[: self.predictor]
        times, values = nodes_of(history)
        if len(history) == 1:
            keep, pull, _ = ddim_coefficients(schedule, t, s)
            # from pure noise no polynomial can start, so what it leads to is not corrected
            left = x if schedule.alpha(t) > 0 else None
            return combine(x, keep, (pull,), (x0,)), Memory(history, left, 1)
        keep, weights = self.weights(schedule, times, t, s)
        return combine(x, keep, weights, values), Memory(history, x, len(weights))


@dataclass(frozen=True)
class UniPc(Corrected):
    """UniPC: x̂_0 as a polynomial in λ = log(α/σ), d(x/σ) = x̂_0 dρ, integrals exact.

    `midpoint` gives a single difference the weight ½ (1 − e^{−h}), as published for B(h) = e^h − 1; with two or more
    differences the published solution is the exact integral whatever B(h) is. The published UniPC-p is `predictor` p.
    Reference: Zhao et al. 2023, arXiv:2302.04867, algorithms 5 and 6.
    """

    predictor: int = 2
    midpoint: bool = False

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return x0

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        keep, weights, _ = data_weights(schedule, with_signal(schedule, nodes), t, s, 0.0, self.midpoint)
        return keep, weights


@dataclass(frozen=True)
class AdamsMoulton(Corrected):
    """Adams–Bashforth predictor, Adams–Moulton corrector, variable steps, for dz/dθ = v̂ in the angle θ = atan(σ/α).

    z = x/√(α² + σ²),   v̂ = (z cos θ − x̂_0)/sin θ: finite at both ends of time.
    References: Hairer, Nørsett & Wanner 1993, section III.1; Salimans & Ho 2022, arXiv:2202.00512, equation 28.
    """

    predictor: int = 2

    def value(self, schedule: Schedule, x: Tensor, x0: Tensor, t: float) -> Tensor:
        return angular_velocity(schedule, x, x0, t)

    def weights(self, schedule: Schedule, nodes: tuple[float, ...], t: float, s: float) -> Weights:
        return angle_weights(schedule, nodes, t, s)
