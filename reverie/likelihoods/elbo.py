"""The evidence lower bound as named terms, for every process and any number of steps T.

    cost = prior + Σ_{i=2…T} denoising_i + reconstruction
    prior = KL(q(x_T | x_0) ‖ p(x_T)),  denoising_i = KL(q(x_{i−1} | x_i, x_0) ‖ p(x_{i−1} | x_i)),
    reconstruction = −log p(x_0 | x_1)
with x_i at t = i/T. All terms, or n of them: i is drawn with probability q_i, n strata of equal probability with
one draw each, and the sum is estimated by the mean of term_i/q_i. q follows where the process expects the
cost to be, and no term is left out (`proposal`).
References: Ho et al. 2020, arXiv:2006.11239, equation 5; Nichol & Dhariwal 2021, arXiv:2102.09672, section 3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.denoisers.decoder import Decoder, Posterior
from reverie.denoisers.terms import denoising_term, prior_term
from reverie.likelihoods.base import Bound, Curve, Likelihood, mean_and_error
from reverie.processes import Process


@dataclass(frozen=True)
class Elbo(Likelihood):
    """The bound with T = `steps`; `terms` = n draws a stratified sample of the denoising terms, None takes all.

    `draws`: x_1's per example for the reconstruction. `v` overrides the reverse variance with β^v β̃^(1−v).
    Errors: from the draws, and for denoising from the differences of neighbouring strata (a little too large where
    the terms change quickly, never too small on average). Raises ValueError for options out of range.
    """

    steps: int = 1000
    terms: int | None = None
    draws: int = 2
    v: float | None = None
    decoder: Decoder = field(default_factory=Posterior)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.draws < 1:
            raise ValueError(f"steps and draws must be at least 1, not {self.steps} and {self.draws}")
        if self.terms is not None and self.terms < 2:
            raise ValueError(f"terms must be at least 2 (neighbours give the error), not {self.terms}")
        if self.v is not None and not 0 <= self.v <= 1:
            raise ValueError(f"v must be between 0 (beta-tilde) and 1 (beta), not {self.v}")

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        prior = prior_term(denoiser, x0).to(torch.float64)
        reconstruction, reconstruction_error = self._reconstruction(denoiser, x0, rng.fork("reconstruction"))
        terms = {"prior": prior, "reconstruction": reconstruction}
        errors = {"reconstruction": reconstruction_error}
        if self.steps == 1:
            return Bound(terms, x0[0].numel(), errors)
        curve = self.denoising(denoiser, x0, rng=rng.fork("denoising"))
        terms["denoising"], errors["denoising"] = curve.nats.sum(1), neighbour_error(curve.nats)
        return Bound(terms, x0[0].numel(), errors, curve=curve)

    def _reconstruction(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        t = 1 / self.steps
        costs = []
        for k in range(self.draws):
            x1 = denoiser.process.marginal(x0, t).sample(rng.fork(k))
            costs.append(-self.decoder(denoiser(x1, t), denoiser.process, t).log_prob(x0).to(torch.float64))
        return mean_and_error(torch.stack(costs))

    def denoising(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Curve:
        """The denoising terms, or the stratified sample of them weighted so that their sum estimates the whole."""
        count = self.steps - 1 if self.terms is None else self.terms
        times, costs = [], []
        for k in range(count):
            index, weight = self._draw(denoiser.process, k, count, len(x0), rng)
            t, s = index / self.steps, (index - 1) / self.steps
            xt = denoiser.process.marginal(x0, t).sample(rng.fork("eps", k))
            cost = denoising_term(denoiser, x0, xt, s, t, v=self.v)
            costs.append(cost.to("cpu", torch.float64) * weight)
            times.append(t)
        return Curve(torch.stack(times, 1), torch.stack(costs, 1))

    def _draw(self, process: Process, k: int, count: int, rows: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """Index i (B,) in {2 … T} of draw k and its weight (B,)."""
        if self.terms is None:
            return torch.full((rows,), k + 2, dtype=torch.float64), torch.ones(rows, dtype=torch.float64)
        law = proposal(process, self.steps)
        u = (k + rng.fork("stratum", k).uniform(rows)) / count
        place = torch.searchsorted(law.cumsum(0), u).clamp(max=len(law) - 1)
        return (place + 2).to(torch.float64), 1 / (count * law[place])


def proposal(process: Process, steps: int) -> Tensor:
    """q_2 … q_T, (T − 1,) float64: a tenth uniform, the rest as the process spreads its costs."""
    flat = torch.full((steps - 1,), 1 / (steps - 1), dtype=torch.float64)
    costs = process.costs(torch.arange(1, steps + 1, dtype=torch.float64) / steps)
    return 0.1 * flat + 0.9 * costs / costs.sum() if costs.sum() > 0 else flat


def neighbour_error(nats: Tensor) -> Tensor:
    """The standard error of a sum over strata with one draw each, (B, K) → (B,).

    Each pair of neighbours is treated as one stratum with two draws: Var(a + b) ≈ (a − b)². A last odd one is paired
    with its neighbour at half weight. Reference: Cochran 1977, Sampling Techniques, section 5A.12 (collapsed strata).
    """
    if nats.shape[1] < 2:
        return torch.full(nats.shape[:1], math.nan, dtype=nats.dtype)
    paired = nats[:, : nats.shape[1] // 2 * 2].unflatten(1, (-1, 2))
    variance = (paired[..., 0] - paired[..., 1]).square().sum(1)
    if nats.shape[1] % 2:
        variance = variance + 0.5 * (nats[:, -1] - nats[:, -2]).square()
    return variance.sqrt()
