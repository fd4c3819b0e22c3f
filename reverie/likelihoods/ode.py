"""The exact log-likelihood: the probability-flow ODE carries a datum to noise and counts the change of volume.

In the angle θ = arctan(σ/α) and y = x/√(α² + σ²) all Gaussian schedules are one circle, y = cos θ x_0 + sin θ ε, and
    dy/dθ = v̂ = (cos θ y − x̂_0)/sin θ,          d log p/dθ = −∇·v̂ = −(D cos θ − ∇·x̂_0 √(α² + σ²))/sin θ
    log p(x_0) = log N(y_1; 0, I) + ∫₀^θ₁ ∇·v̂ dθ
Nothing is singular: v̂ → 0 at the data, and where no signal is left θ₁ is a right angle. The divergence ∇·x̂_0 is
exact (one backward pass per dimension) or Hutchinson's estimate E[zᵀ ∂x̂_0 z], with the probes z fixed along the path.
References: Song et al. 2021, arXiv:2011.13456, equations 39–40; Grathwohl et al. 2019, arXiv:1810.01367, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import Denoiser, gaussian
from reverie.denoisers.terms import prior_term
from reverie.likelihoods.base import Bound, Likelihood
from reverie.likelihoods.divergence import Divergence, Exact
from reverie.likelihoods.solvers import Adaptive, Slope, Solver

STILL = 1e-7  # radians from the data


@dataclass(frozen=True)
class Ode(Likelihood):
    """−log p(x_0) = −log p(x_1) − ∫ ∇·v̂: exact up to the solver's tolerance and the probes' error.

    The terms are `prior` (what x_1 costs) and `volume`. Details per example: `evaluations` of the denoiser, and
    `prior_mismatch` = KL(q(x_1 | x_0) ‖ p(x_1)), the nats by which a prior that forgets x_0 entirely can be wrong.
    """

    divergence: Divergence = field(default_factory=Exact)
    solver: Solver = field(default_factory=Adaptive)

    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        end, volumes, evaluations = self.transport(denoiser, x0, rng=rng)
        prior = Normal(torch.zeros_like(end), 1.0).log_prob(end)
        errors = {}
        if self.divergence.probes:
            spread = volumes.std(1) if volumes.shape[1] > 1 else torch.full_like(volumes[:, 0], torch.nan)
            errors["volume"] = spread / volumes.shape[1] ** 0.5
        terms = {"prior": -prior.to(torch.float64), "volume": -volumes.mean(1)}
        details = {"evaluations": evaluations, "prior_mismatch": prior_term(denoiser, x0)}
        return Bound(terms, x0[0].numel(), errors, is_bound=False, details=details)

    def transport(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> tuple[Tensor, Tensor, Tensor]:
        """y_1 = x_1/√(α² + σ²) (B, *D), ∫ ∇·v̂ dθ for each probe (B, probes or 1) float64, and evaluations (B,)."""
        schedule = gaussian(denoiser).schedule
        last = math.atan2(schedule.sigma(1.0), schedule.alpha(1.0))
        probes = self.divergence.draw(x0, rng.fork("probes"))
        slope = _slope(denoiser, probes, self.divergence)
        return self.solver.integrate(slope, x0, volumes=max(1, self.divergence.probes), end=last)


def _slope(denoiser: Denoiser, probes: Tensor, divergence: Divergence) -> Slope:
    """(y, θ) → v̂ (B, *D) and ∇·v̂ (B, P) float64, for angles θ (B,)."""
    schedule = gaussian(denoiser).schedule

    def slope(y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = angle.cos(), angle.sin()
        t = torch.as_tensor(schedule.time_of(2 * (cos / sin).log())).clamp(min=1e-12)
        alpha, sigma = torch.as_tensor(schedule.alpha(t)), torch.as_tensor(schedule.sigma(t))
        scale = (alpha**2 + sigma**2).sqrt()
        x0_hat, trace = divergence.trace(denoiser, expand(scale, y) * y, t, probes)
        v = (expand(cos, y) * y - x0_hat) / expand(sin, y)
        change = (y[0].numel() * cos[:, None] - scale[:, None] * trace.cpu()) / sin[:, None]
        # at the data both vanish: x̂_0 = x_0 there, whatever the denoiser makes of σ = 0
        still = angle < STILL
        return v.masked_fill(still.to(y.device).reshape(-1, *(1,) * (y.dim() - 1)), 0), change.masked_fill(
            still[:, None], 0
        )

    return slope
