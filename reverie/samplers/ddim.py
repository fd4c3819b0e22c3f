"""Denoising diffusion implicit models: the family from deterministic (η = 0) to ancestral (η = 1).

Reference: Song, Meng & Ermon 2021, arXiv:2010.02502, equations 12 and 16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.samplers.base import Sampler, State


@dataclass(frozen=True)
class Ddim(Sampler):
    """x_s = α_s x̂_0 + √(σ_s² − η² β̃) ε̂ + η √β̃ z, with ε̂ = (x_t − α_t x̂_0)/σ_t and β̃ the bridge's variance.

    η = 0 is Euler's method for the probability-flow ODE in r = σ/α; η = 1 is ancestral sampling with variance β̃.
    """

    eta: float = 0.0
    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be between 0 (deterministic) and 1 (ancestral), not {self.eta}")

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        process = gaussian(denoiser)
        alpha_s, alpha_t = process.schedule.alpha(s), process.schedule.alpha(t)
        sigma_s, sigma_t = process.schedule.sigma(s), process.schedule.sigma(t)
        noise = self.eta * process.bridge_coefficients(s, t)[2] if self.eta else 0.0
        x0 = denoiser(x, t).mean
        slope = math.sqrt(sigma_s**2 - noise**2) / sigma_t
        xs = slope * x + (alpha_s - slope * alpha_t) * x0
        return (xs + noise * rng.normal(x) if noise else xs), state
