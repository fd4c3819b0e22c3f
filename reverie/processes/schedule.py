"""One contract for every Gaussian schedule: x_t = α(t) x_0 + σ(t) ε.

α(0) = 1 and σ(0) = 0 (data); log_snr = 2 log(α/σ) falls strictly from +∞. The stochastic differential
equation dx = f x dt + g dw with these marginals follows and is never written by hand:
    f  = d log α/dt        g² = −σ² d log_snr/dt
The papers' ᾱ_t is α(t)², their 1 − ᾱ_t is σ(t)² (for variance-preserving schedules).
References: Song et al. 2021, arXiv:2011.13456, equations 30–33; Kingma et al. 2021, arXiv:2107.00630, section 3.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from reverie.core.tensors import Scalar, log, sqrt


class Schedule(ABC):
    """α(t) and σ(t) for t in [0, 1], for a float or a float64 tensor (B,); all else is derived."""

    @abstractmethod
    def alpha(self, t: Scalar) -> Scalar:
        """The share of the data in x_t."""

    @abstractmethod
    def sigma(self, t: Scalar) -> Scalar:
        """The standard deviation of the noise in x_t."""

    @final
    def log_snr(self, t: Scalar) -> Scalar:
        """log(α²/σ²): +∞ at t = 0, falling; −∞ where α = 0."""
        return 2 * (log(self.alpha(t)) - log(self.sigma(t)))

    @final
    def alpha_dot(self, t: Scalar) -> Scalar:
        """dα/dt."""
        return _derivative(self.alpha, t)

    @final
    def sigma_dot(self, t: Scalar) -> Scalar:
        """dσ/dt."""
        return _derivative(self.sigma, t)

    @final
    def drift(self, t: Scalar) -> Scalar:
        """f(t) = d log α/dt of dx = f x dt + g dw."""
        return self.alpha_dot(t) / self.alpha(t)

    @final
    def diffusion2(self, t: Scalar) -> Scalar:
        """g(t)² = −σ² d log_snr/dt = 2σ (σ′ − f σ), for t > 0."""
        sigma = self.sigma(t)
        return 2 * sigma * (self.sigma_dot(t) - self.drift(t) * sigma)

    @final
    def ratio(self, s: Scalar, t: Scalar) -> tuple[Scalar, Scalar]:
        """α(t|s) = α_t/α_s and σ(t|s) = √(σ_t² − α(t|s)² σ_s²) of the transition from s to t.

        The variance is σ_t² (1 − SNR_t/SNR_s), computed without cancellation as 1 − q² = (1 − q)(1 + q).
        """
        alpha_s, alpha_t, sigma_s, sigma_t = self.alpha(s), self.alpha(t), self.sigma(s), self.sigma(t)
        q = (alpha_t * sigma_s) / (alpha_s * sigma_t)
        return alpha_t / alpha_s, sigma_t * sqrt((1 - q) * (1 + q))

    @final
    def time_of(self, log_snr: Scalar) -> Scalar:
        """The time at which the schedule has this log signal-to-noise ratio, by bisection to rounding."""
        if not isinstance(log_snr, Tensor):
            return float(self.time_of(torch.tensor([float(log_snr)], dtype=torch.float64))[0])
        low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
        for _ in range(64):
            middle = (low + high) / 2
            above = self.log_snr(middle) > log_snr
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return (low + high) / 2


def _derivative(function: Callable[[Scalar], Scalar], t: Scalar) -> Scalar:
    """The derivative by automatic differentiation; at a kink (a table's grid point), the one from the right."""
    if isinstance(t, Tensor):
        with torch.enable_grad():
            time = t.detach().requires_grad_()
            return torch.autograd.grad(function(time).sum(), time)[0]
    return _float_derivative(function, t)


@functools.lru_cache(maxsize=65536)
def _float_derivative(function: Callable[[Scalar], Scalar], t: float) -> float:
    slope = _derivative(function, torch.tensor([t], dtype=torch.float64))
    assert isinstance(slope, Tensor)
    return float(slope[0]) if not math.isnan(float(slope[0])) else 0.0
