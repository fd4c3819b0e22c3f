"""One contract for every Gaussian schedule: x_t = α(t) x_0 + σ(t) ε.

α(0) = 1 and σ(0) = 0 (data); log_snr = 2 log(α/σ) falls strictly from +∞. The stochastic differential
equation dx = f x dt + g dw with these marginals follows and is never written by hand:
    f  = d log α/dt        g² = −σ² d log_snr/dt
The papers' ᾱ_t is α(t)², their 1 − ᾱ_t is σ(t)² (for variance-preserving schedules).
References: Song et al. 2021, arXiv:2011.13456, equations 30–33; Kingma et al. 2021, arXiv:2107.00630, section 3.
"""

from __future__ import annotations

import bisect
import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from reverie.core.tensors import Scalar, log, sqrt

CLOSE = 1e-14  # an error of log SNR that is rounding


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
    def costs(self, times: Tensor) -> Tensor:
        """∫ (S(λ) + 1/10) dλ over each step, S the logistic function, λ = log SNR held within ±15: (n + 1,) → (n,).

        S(λ) is the integrand of the bound for normal data of variance one (times D/2); a tenth is for data with more
        structure.
        """
        log_snr = torch.as_tensor(self.log_snr(times)).clamp(-15, 15)
        return -(torch.nn.functional.softplus(log_snr) + 0.1 * log_snr).diff()

    @final
    def time_of(self, log_snr: Scalar) -> Scalar:
        """The time at which the schedule has this log signal-to-noise ratio, by safeguarded regula falsi."""
        if not isinstance(log_snr, Tensor):
            return float(torch.as_tensor(self.time_of(torch.tensor([float(log_snr)], dtype=torch.float64)))[0])
        low, high = _bracket(self, log_snr)
        f_low, f_high = self.log_snr(low) - log_snr, self.log_snr(high) - log_snr
        was_above = torch.zeros_like(log_snr)
        for _ in range(9):
            # regula falsi; by the Illinois rule an end that stays twice in a row counts half
            middle = low + (high - low) * (f_low / (f_low - f_high)).nan_to_num(0.5)
            f = self.log_snr(middle) - log_snr
            above = (f > 0).to(f)
            again = 1 - 0.5 * (above == was_above).to(f)
            f_low, f_high = torch.where(f > 0, f, f_low * again), torch.where(f > 0, f_high * again, f)
            low, high, was_above = torch.where(f > 0, middle, low), torch.where(f > 0, high, middle), above
        return middle.clamp(0, 1)

    @final
    def float_time_of(self, log_snr: float) -> float:
        """`time_of` one number in Python's floats and to rounding, for which tensors of one number are slow."""
        times, values = _lists(self)
        index = min(max(bisect.bisect_left(values, -log_snr, key=operator.neg), 1), len(times) - 1)
        (low, high), (above, below) = times[index - 1 : index + 1], values[index - 1 : index + 1]
        above, below, side, t = above - log_snr, below - log_snr, 0, high
        for _ in range(60):
            t = low + (high - low) * (above / (above - below) if math.isfinite(above - below) else 0.5)
            f = float(self.log_snr(t)) - log_snr
            if abs(f) < CLOSE or not low < t < high:
                break
            if f > 0:
                low, above, below, side = t, f, below / 2 if side > 0 else below, 1
            else:
                high, below, above, side = t, f, above / 2 if side < 0 else above, -1
        return min(max(t, 0.0), 1.0)


def _bracket(schedule: Schedule, log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbouring times of a table between which the schedule passes the given value."""
    times, values = _table(schedule)
    index = torch.searchsorted(-values, -log_snr.contiguous()).clamp(1, len(times) - 1)
    return times[index - 1], times[index]


@functools.lru_cache(maxsize=64)
def _table(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Times from 0 to 1, dense near both ends, and the log-SNR there."""
    near = torch.logspace(-12, -2, 200, dtype=torch.float64)
    middle = torch.linspace(0.01, 0.99, 1000, dtype=torch.float64)[1:-1]
    zero = torch.zeros(1, dtype=torch.float64)
    times = torch.cat((zero, near, middle, (1 - near).flip(0), zero + 1))
    return times, torch.as_tensor(schedule.log_snr(times))


@functools.lru_cache(maxsize=64)
def _lists(schedule: Schedule) -> tuple[list[float], list[float]]:
    times, values = _table(schedule)
    return times.tolist(), values.tolist()


def _derivative(function: Callable[[Scalar], Scalar], t: Scalar) -> Scalar:
    """The derivative by automatic differentiation; at a kink (a table's grid point), the one from the right."""
    if isinstance(t, Tensor):
        # a sampler may be in inference mode, whose tensors know no gradients
        with torch.inference_mode(False), torch.enable_grad():
            time = t.detach().clone().requires_grad_()
            return torch.autograd.grad(torch.as_tensor(function(time)).sum(), time)[0]
    return _float_derivative(function, t)


@functools.lru_cache(maxsize=65536)
def _float_derivative(function: Callable[[Scalar], Scalar], t: float) -> float:
    slope = _derivative(function, torch.tensor([t], dtype=torch.float64))
    assert isinstance(slope, Tensor)
    return float(slope[0]) if not math.isnan(float(slope[0])) else 0.0
