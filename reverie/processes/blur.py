"""Blurring: the heat equation carries detail away, fine before coarse, while Gaussian noise grows.

In the cosine basis every frequency is a Gaussian process of its own (u the coefficients, λ_k their eigenvalues):
    u_t = α_k(t) u_0 + σ(t) ε,   α_k = α(t) d_k(t),   d_k = f + (1 − f) exp(−½ λ_k b(t)²),   b = blur · sin²(πt/2)
with b the standard deviation of the blur in pixels and f a floor that keeps every frequency readable. Then
    q(u_t | u_s)      = N(α_k(t|s) u_s, σ_t² (1 − e_k)),   e_k = SNR_k(t)/SNR_k(s)
    q(u_s | u_0, u_t) = N(α_k(t|s) σ_s²/σ_t² u_t + α_k(s) (1 − e_k) u_0, σ_s² (1 − e_k))
With blur 0 it is the Gaussian process. The reverse of the blur is well posed because noise has covered what it erased.
References: Rissanen et al. 2023, arXiv:2206.13397; Hoogeboom & Salimans 2023, arXiv:2209.05557, equations 9–19.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.distributions import Distribution, Normal
from reverie.core.spectral import Spectral, eigenvalues, to_frequencies
from reverie.core.tensors import Scalar, expand, sin
from reverie.processes.base import Process
from reverie.processes.schedule import Schedule


@dataclass(frozen=True)
class Blur(Process):
    """A blur that reaches `blur` pixels at t = 1, beside Gaussian noise by a schedule; for (B, D) and (B, C, *space).

    Raises ValueError for a negative blur or a floor outside (0, 1).
    """

    schedule: Schedule
    blur: float = 4.0
    floor: float = 0.001

    def __post_init__(self) -> None:
        if self.blur < 0 or not 0 < self.floor < 1:
            raise ValueError(f"needs blur >= 0 and 0 < floor < 1, not {self.blur} and {self.floor}")

    def prior(self, shape: tuple[int, ...]) -> Spectral:
        """p(x_1): N(0, α_k(1)² + σ(1)²) in every frequency, the law of x_1 for white data of unit variance."""
        zero = torch.zeros(shape)
        std = (self.signal(1.0, zero.double()) ** 2 + self.schedule.sigma(1.0) ** 2) ** 0.5
        return Spectral(Normal(zero, std))

    def marginal(self, x0: Tensor, t: Scalar) -> Spectral:
        u0 = to_frequencies(x0)
        return Spectral(Normal(self.signal(t, x0) * u0, expand(self.schedule.sigma(t), x0)))

    def transition(self, xs: Tensor, s: Scalar, t: Scalar) -> Spectral:
        ratio, fresh = self._step(s, t, xs)
        return Spectral(Normal(ratio * to_frequencies(xs), expand(self.schedule.sigma(t), xs) * fresh**0.5))

    def bridge(self, x0: Tensor, xt: Tensor, s: Scalar, t: Scalar) -> Spectral:
        c0, ct, std = self._bridge(s, t, x0)
        return Spectral(Normal(c0 * to_frequencies(x0) + ct * to_frequencies(xt), std))

    def reverse(self, posterior: Distribution, xt: Tensor, s: Scalar, t: Scalar) -> Spectral:
        """The bridge's moments under the posterior; its variance is spread evenly over frequencies.

        Exact for a posterior of one std; for others the mean of the variances over the values of an example.
        """
        c0, ct, std = self._bridge(s, t, xt)
        mean = c0 * to_frequencies(posterior.mean) + ct * to_frequencies(xt)
        stated = torch.as_tensor(posterior.std).to(xt)
        if not bool((stated > 0).any()):
            return Spectral(Normal(mean, std))
        variance = stated.expand_as(xt).flatten(1).square().mean(1)
        return Spectral(Normal(mean, (std**2 + c0**2 * expand(variance, xt)) ** 0.5))

    def costs(self, times: Tensor) -> Tensor:
        """Those of the schedule, whose noise is what most frequencies see."""
        return self.schedule.costs(times)

    def signal(self, t: Scalar, like: Tensor) -> Tensor:
        """α_k(t) = α(t) d_k(t), broadcastable to the coefficients of `like`."""
        half = sin(0.5 * math.pi * t)
        reach = expand(self.blur * half * half, like)
        kept = self.floor + (1 - self.floor) * torch.exp(-0.5 * eigenvalues(like) * reach**2)
        return expand(self.schedule.alpha(t), like) * kept

    def _step(self, s: Scalar, t: Scalar, like: Tensor) -> tuple[Tensor, Tensor]:
        """α_k(t|s), and 1 − e_k = (1 − q)(1 + q) with q = α_k(t|s) σ_s/σ_t."""
        ratio = self.signal(t, like) / self.signal(s, like)
        q = ratio * expand(self.schedule.sigma(s) / self.schedule.sigma(t), like)
        return ratio, (1 - q) * (1 + q)

    def _bridge(self, s: Scalar, t: Scalar, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_0, c_t and the standard deviation, broadcastable to the coefficients."""
        ratio, fresh = self._step(s, t, like)
        sigma_s = expand(self.schedule.sigma(s), like)
        share = expand((self.schedule.sigma(s) / self.schedule.sigma(t)) ** 2, like)
        return self.signal(s, like) * fresh, ratio * share, sigma_s * fresh**0.5
