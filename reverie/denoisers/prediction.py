"""What a network is asked to predict, each as one pair (a, b): target = a x_0 + b ε.

With x_t = α x_0 + σ ε, an output `out` that stands for the target gives back
    x̂_0 = (b x_t − σ out)/(α b − σ a)
so n predictions need n pairs and no conversions. Where α b = σ a the target says nothing about x_0 (ε at zero
signal): such a combination is refused when the model is made.
References: Ho et al. 2020 (ε, μ); Salimans & Ho 2022 (v); Lipman et al. 2023 (velocity); Karras et al. 2022 (F).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from reverie.core.tensors import Scalar, expand, sqrt
from reverie.processes import Gaussian, Schedule


class Prediction(ABC):
    """A linear combination of data and noise, named by its coefficients."""

    @abstractmethod
    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        """(a, b) of target = a x_0 + b ε, for t > 0."""

    @final
    def target(self, schedule: Schedule, x0: Tensor, eps: Tensor, t: Scalar) -> Tensor:
        """a x_0 + b ε."""
        a, b = self.pair(schedule, t)
        return expand(a, x0) * x0 + expand(b, x0) * eps

    @final
    def skip_and_out(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        """c_skip and c_out of x̂_0 = c_skip x_t + c_out out: b/(αb − σa) and −σ/(αb − σa); (1/α, 0) where σ = 0."""
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        if not isinstance(sigma, Tensor) and sigma <= 0:
            return 1.0 / alpha, 0.0
        a, b = self.pair(schedule, t)
        determinant = alpha * b - sigma * a
        return b / determinant, -sigma / determinant

    @final
    def x0(self, schedule: Schedule, out: Tensor, xt: Tensor, t: Scalar) -> Tensor:
        """x̂_0 = (b x_t − σ out)/(α b − σ a)."""
        skip, scale = self.skip_and_out(schedule, t)
        return expand(skip, xt) * xt + expand(scale, xt) * out

    @final
    def check(self, schedule: Schedule) -> None:
        """Refuse a schedule at whose end this target says nothing about x_0."""
        a, b = (float(c) for c in self.pair(schedule, 1.0))
        if abs(float(schedule.alpha(1.0) * b - schedule.sigma(1.0) * a)) < 1e-12 * max(abs(a), abs(b)):
            name = type(self).__name__.lower()
            raise ValueError(
                f"'{name}' says nothing about x0 at t = 1, where {type(schedule).__name__} leaves no signal; "
                "predict v, x0, velocity or f"
            )


@dataclass(frozen=True)
class Eps(Prediction):
    """The noise: (0, 1). Reference: Ho et al. 2020, equation 12."""

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        return 0.0, 1.0


@dataclass(frozen=True)
class X0(Prediction):
    """The data: (1, 0)."""

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        return 1.0, 0.0


@dataclass(frozen=True)
class V(Prediction):
    """v = α ε − σ x_0: (−σ, α). Reference: Salimans & Ho 2022, arXiv:2202.00512, appendix D."""

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        return -schedule.sigma(t), schedule.alpha(t)


@dataclass(frozen=True)
class Score(Prediction):
    """∇ log q(x_t | x_0) = −ε/σ: (0, −1/σ). Reference: Vincent 2011; Song & Ermon 2019."""

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        return 0.0, -1.0 / schedule.sigma(t)


@dataclass(frozen=True)
class Velocity(Prediction):
    """dx_t/dt = α′ x_0 + σ′ ε: (α′, σ′). Reference: Lipman et al. 2023, arXiv:2210.02747, theorem 3."""

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        return schedule.alpha_dot(t), schedule.sigma_dot(t)


@dataclass(frozen=True)
class F(Prediction):
    """EDM's target of unit variance for data of standard deviation s: (σ, −α s²)/(s √(α²s² + σ²)).

    From D = c_skip x_t + c_out F with c_skip = α s²/(α²s² + σ²), c_out = σ s/√(α²s² + σ²).
    For s = 1 on a variance-preserving schedule it is −v. Reference: Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    data_std: float = 1.0

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        alpha, sigma, s = schedule.alpha(t), schedule.sigma(t), self.data_std
        total = sqrt(alpha**2 * s**2 + sigma**2)
        return sigma / (s * total), -alpha * s / total


@dataclass(frozen=True)
class Mu(Prediction):
    """The mean of q(x_s | x_t, x_0), s = t − 1/T: (c_0 + c_t α_t, c_t σ_t). Reference: Ho et al. 2020, equation 7."""

    steps: int = 1000

    def pair(self, schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
        s = t - 1 / self.steps
        s = s.clamp(min=0) if isinstance(s, Tensor) else (s if s > 1e-12 else 0.0)
        c0, ct, _ = Gaussian(schedule).bridge_coefficients(s, t)
        return c0 + ct * schedule.alpha(t), ct * schedule.sigma(t)


def input_scale(schedule: Schedule, t: Scalar, data_std: float) -> Scalar:
    """c_in = 1/√(α² s² + σ²), which gives the network an input of unit variance (Karras et al. 2022, table 1)."""
    return 1.0 / sqrt(schedule.alpha(t) ** 2 * data_std**2 + schedule.sigma(t) ** 2)


def noise_level(schedule: Schedule, t: Scalar) -> Scalar:
    """c_noise = log(σ/α)/4, what the network is told of the time; held within ±5 where a schedule ends at ∞."""
    value = -schedule.log_snr(t) / 8
    return torch.clamp(value, -5, 5) if isinstance(value, Tensor) else math.copysign(min(abs(value), 5.0), value)
