"""Denoising diffusion implicit models: the family from deterministic (η = 0) to ancestral (η = 1).

Reference: Song, Meng & Ermon 2021, arXiv:2010.02502, equations 12 and 16.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Gaussian, Schedule
from reverie.samplers.base import Sampler, State


@dataclass(frozen=True)
class Ddim(Sampler):
    """x_s = α_s x̂_0 + √(σ_s² − η² β̃) ε̂ + η √β̃ z, with ε̂ = (x_t − α_t x̂_0)/σ_t and β̃ the bridge's variance.

    η = 0 is Euler's method for the probability-flow ODE in r = σ/α; η = 1 is ancestral sampling with variance β̃.
    """

    eta: float = 0.0
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be between 0 (deterministic) and 1 (ancestral), not {self.eta}")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        keep, pull, noise = ddim_coefficients(gaussian(denoiser).schedule, t, s, self.eta)
        xs = keep * x + pull * denoiser(x, t).mean if pull else keep * x
        return (xs.add_(rng.normal(x), alpha=noise) if noise else xs), state


@functools.lru_cache(maxsize=16384)
def ddim_coefficients(schedule: Schedule, t: float, s: float, eta: float = 0.0) -> tuple[float, float, float]:
    """(k, c, n) of x_s = k x_t + c x̂_0 + n z: k = √(σ_s² − n²)/σ_t, c = α_s − k α_t, n = η √β̃.

    At t = 0, where there is no noise to read (x̂_0 = x, ε̂ = 0), k = α_s/α_t and c = 0.
    """
    alpha_t, alpha_s, sigma_t, sigma_s = (float(f(u)) for f in (schedule.alpha, schedule.sigma) for u in (t, s))
    if sigma_t == 0:
        return alpha_s / alpha_t, 0.0, 0.0
    noise = eta * float(Gaussian(schedule).bridge_coefficients(s, t)[2]) if eta else 0.0
    keep = math.sqrt(sigma_s**2 - noise**2) / sigma_t
    return keep, alpha_s - keep * alpha_t, noise
