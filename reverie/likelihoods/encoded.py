"""What data cost a model of their codes: the autoencoder's two terms around the cost of a code.

    −log p(x) ≤ E over e ~ q(e | x) of [ −log p(x | e) + log q(e | x) − log p(e) ]
with −log p(e) = −log p(z) + Σ log s for z = (e − c)/s, and −log p(z) as the inner likelihood says. A bound, whether or
not the inner one is exact. Reference: Vahdat et al. 2021, arXiv:2106.05931, equations 4–6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, Stage
from reverie.likelihoods.base import Bound, Likelihood


@dataclass(frozen=True)
class Encoded(Likelihood):
    """`inner` scores the codes of `stage`; one code is drawn for each example.

    `decoder` = −log p(x | e), `encoder` = log q(e | x) + Σ log s, then the inner likelihood's own terms.
    """

    inner: Likelihood
    stage: Stage

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        law = self.stage.law(x0)
        e = law.sample(rng.fork("code"))
        z = self.stage.into(e)
        cost = -self.stage.decode(z).log_prob(x0)
        bound = self.inner(denoiser, z, rng=rng)
        density = law.log_prob(e) + self.stage.log_spread
        terms = {"decoder": cost, "encoder": density, **bound.terms}
        return replace(bound, terms=terms, dimensions=x0[0].numel(), is_bound=True)

    def __repr__(self) -> str:
        return f"Encoded({self.inner!r})"
