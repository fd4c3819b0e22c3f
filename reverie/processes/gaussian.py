"""The Gaussian process: data shrink by α while noise of standard deviation σ grows, by any schedule.

q(x_t | x_0) = N(α_t x_0, σ_t²) and, with e = SNR_t/SNR_s,
    q(x_t | x_s)      = N(α(t|s) x_s, σ_t² (1 − e))
    q(x_s | x_0, x_t) = N(α(t|s) σ_s²/σ_t² x_t + α_s (1 − e) x_0, σ_s² (1 − e))
Reference: Ho et al. 2020, arXiv:2006.11239, equations 4–7; Kingma et al. 2021, arXiv:2107.00630, equations 1–2, 26.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.distributions import Distribution, Normal, normal
from reverie.core.tensors import Scalar, expand, sqrt
from reverie.processes.base import Process
from reverie.processes.schedule import Schedule


@dataclass(frozen=True)
class Gaussian(Process):
    """Gaussian noise by a schedule; works on tensors of any shape (B, *D)."""

    schedule: Schedule

    def prior(self, shape: tuple[int, ...]) -> Normal:
        """p(x_1) = N(0, α_1² + σ_1²), the law of x_1 for data of unit variance: N(0, I) when variance-preserving."""
        alpha, sigma = self.schedule.alpha(1.0), self.schedule.sigma(1.0)
        return Normal(torch.zeros(shape), math.sqrt(alpha**2 + sigma**2))

    def marginal(self, x0: Tensor, t: Scalar) -> Normal:
        """q(x_t | x_0) = N(α_t x_0, σ_t²)."""
        return normal(expand(self.schedule.alpha(t), x0) * x0, self.schedule.sigma(t))

    def transition(self, xs: Tensor, s: Scalar, t: Scalar) -> Normal:
        """q(x_t | x_s) = N(α(t|s) x_s, σ_t² − α(t|s)² σ_s²)."""
        alpha, sigma = self.schedule.ratio(s, t)
        return normal(expand(alpha, xs) * xs, sigma)

    def bridge(self, x0: Tensor, xt: Tensor, s: Scalar, t: Scalar) -> Normal:
        """q(x_s | x_0, x_t) = N(c_t x_t + c_0 x_0, β̃)."""
        c0, ct, std = self.bridge_coefficients(s, t)
        return normal(expand(c0, x0) * x0 + expand(ct, xt) * xt, std)

    def reverse(self, posterior: Distribution, xt: Tensor, s: Scalar, t: Scalar) -> Normal:
        """p(x_s | x_t) = N(c_t x_t + c_0 E[x_0], β̃ + c_0² Var[x_0]), the moments of the bridge under the posterior.

        Std 0 gives β̃ (optimal for a point); std σ_t gives β (optimal for N(0, I) data, variance-preserving).
        """
        c0, ct, std = self.bridge_coefficients(s, t)
        mean = expand(c0, xt) * posterior.mean + expand(ct, xt) * xt
        if not isinstance(posterior.std, Tensor) and posterior.std == 0:
            return normal(mean, std)
        spread = expand(c0, xt) * (expand(posterior.std, xt) if _per_example(posterior.std) else posterior.std)
        return Normal(mean, sqrt(expand(std, xt) ** 2 + spread**2))

    def costs(self, times: Tensor) -> Tensor:
        """Those of the schedule."""
        return self.schedule.costs(times)

    def bridge_coefficients(self, s: Scalar, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """c_0 = α_s (1 − e), c_t = α(t|s) σ_s²/σ_t² and the standard deviation √β̃ = σ_s √(1 − e)."""
        coefficients = _known_bridge if isinstance(s, float) and isinstance(t, float) else _bridge
        return coefficients(self.schedule, s, t)

    def posterior_std(self, v: Scalar, s: Scalar, t: Scalar) -> Scalar:
        """The std of p(x_0 | x_t) for which the reverse variance is β^v β̃^(1−v): 0 at v = 0.

        β = σ(t|s)² is the forward variance of the step. Reference: Nichol & Dhariwal 2021, equation 15.
        """
        c0, _, std = self.bridge_coefficients(s, t)
        beta, beta_tilde = self.schedule.ratio(s, t)[1] ** 2, std**2
        return sqrt(beta**v * beta_tilde ** (1 - v) - beta_tilde) / c0


def _bridge(schedule: Schedule, s: Scalar, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    sigma_s, sigma_t = schedule.sigma(s), schedule.sigma(t)
    ratio, sigma = schedule.ratio(s, t)
    fresh = (sigma / sigma_t) ** 2
    return schedule.alpha(s) * fresh, ratio * (sigma_s / sigma_t) ** 2, sigma_s * sqrt(fresh)


# A walk in steps asks for the same numbers for every batch.
_known_bridge = functools.lru_cache(maxsize=16384)(_bridge)


def _per_example(std: Scalar) -> bool:
    return isinstance(std, Tensor) and std.dim() <= 1
