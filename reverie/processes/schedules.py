"""The schedules of the literature, each as α(t) and σ(t) with t in [0, 1].

Variance-preserving ones have α² + σ² = 1; variance-exploding ones α = 1. Where a paper's σ(0) is a small
number by convention, the kernel here is the exact one of its stochastic differential equation, with σ(0) = 0.
References: with each class.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from reverie.core.tensors import Scalar, cos, exp, expm1, sigmoid, sin, sqrt
from reverie.processes.schedule import Schedule


class VariancePreserving(Schedule, ABC):
    """α = exp(−B/2), σ = √(1 − exp(−B)), with B(t) = ∫₀ᵗ β, so that α² + σ² = 1 exactly."""

    @abstractmethod
    def integral(self, t: Scalar) -> Scalar:
        """B(t) = ∫₀ᵗ β(u) du = −log ᾱ(t)."""

    @final
    def alpha(self, t: Scalar) -> Scalar:
        return exp(-0.5 * self.integral(t))

    @final
    def sigma(self, t: Scalar) -> Scalar:
        return sqrt(-expm1(-self.integral(t)))


@dataclass(frozen=True)
class VpLinear(VariancePreserving):
    """Continuous variance-preserving schedule with β(t) rising linearly.

    β(t) = β_min + t (β_max − β_min),   B(t) = t β_min + t² (β_max − β_min)/2
    Reference: Song et al. 2021, arXiv:2011.13456, equation 33 (β_min 0.1, β_max 20).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min <= self.beta_max:
            raise ValueError(f"needs 0 < beta_min <= beta_max, not {self.beta_min} and {self.beta_max}")

    def integral(self, t: Scalar) -> Scalar:
        return t * self.beta_min + 0.5 * t * t * (self.beta_max - self.beta_min)


@dataclass(frozen=True)
class VpCosine(Schedule):
    """Continuous cosine schedule without a clip: α = cos(θ), σ = sin(θ), θ = πt/2. Zero signal at t = 1.

    Reference: Salimans & Ho 2022, arXiv:2202.00512, section 4 (the offset-free limit of Nichol & Dhariwal 2021).
    """

    def alpha(self, t: Scalar) -> Scalar:
        return sin(0.5 * math.pi * (1 - t))

    def sigma(self, t: Scalar) -> Scalar:
        return sin(0.5 * math.pi * t)


@dataclass(frozen=True)
class Ve(Schedule):
    """Variance-exploding, geometric: α = 1, σ² = σ_min² ((σ_max/σ_min)²ᵗ − 1).

    The exact kernel of dx = σ_min (σ_max/σ_min)ᵗ √(2 log(σ_max/σ_min)) dw from x(0) = x0.
    Reference: Song et al. 2021, arXiv:2011.13456, equations 30–31.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"needs 0 < sigma_min < sigma_max, not {self.sigma_min} and {self.sigma_max}")

    def alpha(self, t: Scalar) -> Scalar:
        return 0.0 * t + 1.0

    def sigma(self, t: Scalar) -> Scalar:
        return self.sigma_min * sqrt(expm1(2 * t * math.log(self.sigma_max / self.sigma_min)))


@dataclass(frozen=True)
class SubVp(Schedule):
    """Sub-variance-preserving: α = exp(−B/2), σ = 1 − exp(−B), with B(t) of `VpLinear`.

    Reference: Song et al. 2021, arXiv:2011.13456, equation 29.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        VpLinear(self.beta_min, self.beta_max)

    def _integral(self, t: Scalar) -> Scalar:
        return t * self.beta_min + 0.5 * t * t * (self.beta_max - self.beta_min)

    def alpha(self, t: Scalar) -> Scalar:
        return exp(-0.5 * self._integral(t))

    def sigma(self, t: Scalar) -> Scalar:
        return -expm1(-self._integral(t))


@dataclass(frozen=True)
class Edm(Schedule):
    """α = 1, σ = σ_max t: noise itself is the clock. The time grid (`Karras`) decides where steps are spent.

    Reference: Karras et al. 2022, arXiv:2206.00364, table 1 (σ(t) = t, s(t) = 1; σ_max = 80).
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not self.sigma_max > 0:
            raise ValueError(f"sigma_max must be positive, not {self.sigma_max}")

    def alpha(self, t: Scalar) -> Scalar:
        return 0.0 * t + 1.0

    def sigma(self, t: Scalar) -> Scalar:
        return self.sigma_max * t


@dataclass(frozen=True)
class Flow(Schedule):
    """Linear interpolation between data and noise: α = 1 − t, σ = t. Zero signal at t = 1.

    Reference: Lipman et al. 2023, arXiv:2210.02747, equation 20 with σ_min = 0; Liu et al. 2023, arXiv:2209.03003.
    """

    def alpha(self, t: Scalar) -> Scalar:
        return 1.0 - t

    def sigma(self, t: Scalar) -> Scalar:
        return 1.0 * t


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """ᾱ(t) = ε + (1 − ε) (S(b) − S(a + t(b − a)))/(S(b) − S(a)), with S(x) the logistic function of x/τ.

    Reference: Jabri et al. 2022, arXiv:2212.11972, appendix B (start −3, end 3, τ = 1, clip ε = 1e-9).
    """

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0
    clip: float = 1e-9

    def __post_init__(self) -> None:
        if not (self.start < self.end and self.tau > 0 and 0 <= self.clip < 1):
            raise ValueError("needs start < end, tau > 0 and 0 <= clip < 1")

    def _erased(self, t: Scalar) -> Scalar:
        # S(x) − S(y) = S(x) S(−y) (1 − e^{y−x}): no cancellation near t = 0
        a, span = self.start / self.tau, (self.end - self.start) / self.tau
        whole = sigmoid(a + span) * -expm1(-span)
        return sigmoid(a + t * span) * -expm1(-t * span) / whole * (1 - self.clip)

    def alpha(self, t: Scalar) -> Scalar:
        return sqrt(1 - self._erased(t))

    def sigma(self, t: Scalar) -> Scalar:
        return sqrt(self._erased(t))


@dataclass(frozen=True)
class ZeroTerminal(Schedule):
    """Shift and scale another schedule's α so that no signal is left at t = 1; σ = √(1 − α²).

    α′(t) = (α(t) − α(1))/(α(0) − α(1))
    Predict v, x0, velocity or F with it: from pure noise, eps says nothing about x0.
    Reference: Lin et al. 2023, arXiv:2305.08891, algorithm 1.
    """

    inner: Schedule

    def __post_init__(self) -> None:
        if abs(float(self.inner.alpha(0.5) ** 2 + self.inner.sigma(0.5) ** 2) - 1) > 1e-9:
            raise ValueError("needs a variance-preserving schedule inside")

    def alpha(self, t: Scalar) -> Scalar:
        last = self.inner.alpha(1.0)
        return (self.inner.alpha(t) - last) / (1 - last)

    def sigma(self, t: Scalar) -> Scalar:
        # 1 − α′ = (1 − α)/(1 − α(1)), and 1 − α = σ²/(1 + α): no cancellation near t = 0
        erased = self.inner.sigma(t) ** 2 / (1 + self.inner.alpha(t)) / (1 - self.inner.alpha(1.0))
        return sqrt(erased * (1 + self.alpha(t)))


def cosine_angle(t: Scalar, offset: float) -> Scalar:
    """cos((t + s)/(1 + s) · π/2), the square root of Nichol & Dhariwal's f(t)."""
    return cos((t + offset) / (1 + offset) * math.pi / 2)
