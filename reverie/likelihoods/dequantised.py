"""Data on levels under a model of densities: spread each level over its bin, and say that the result is a bound.

    log P(x) = log ∫_bin p(z) dz ≥ E_u[log p(x + w (u − ½))] + D log w,   u uniform on [0, 1]^D
By Jensen's inequality; the logarithm of the mean of p over several u is a tighter bound. w = 2/(bins − 1).
References: Theis, van den Oord & Bethge 2016, arXiv:1511.01844, section 3.1; Hoogeboom et al. 2021, arXiv:2001.11235.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.units import level_nats, level_width
from reverie.denoisers import Denoiser
from reverie.likelihoods.base import Bound, Likelihood, mean_and_error


@dataclass(frozen=True)
class Dequantised(Likelihood):
    """`inner` on uniformly dequantised data, `draws` times, plus the term `levels` = −D log w: a bound on −log P.

    `tight` averages probabilities instead of nats over the draws (with one draw they are the same).
    """

    inner: Likelihood
    bins: int = 256
    draws: int = 2
    tight: bool = False

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, not {self.draws}")
        level_width(self.bins)

    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        bounds = []
        for k in range(self.draws):
            u = rng.fork("dequantise", k).uniform(len(x0), *x0.shape[1:]).to(x0)
            z = x0 + level_width(self.bins) * (u - 0.5)
            bounds.append(self.inner(denoiser, z, rng=rng.fork("inner", k)))
        names, first = bounds[0].terms, bounds[0]
        terms = {name: torch.stack([b.terms[name] for b in bounds]).mean(0) for name in names}
        terms["levels"] = torch.full_like(first.total, first.dimensions * level_nats(self.bins))
        totals = torch.stack([b.total for b in bounds])
        error = mean_and_error(totals)[1]
        if self.tight:
            tighter = math.log(len(totals)) - torch.logsumexp(-totals, 0)
            terms["recovered"] = tighter - totals.mean(0)
        details = {name: torch.stack([b.details[name].to(totals) for b in bounds]).mean(0) for name in first.details}
        return Bound(terms, first.dimensions, {"draws": error}, details=details)
