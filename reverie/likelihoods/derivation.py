"""One bound written three ways, with the same mean.

    path       log q(x_1 … x_T | x_0) − log p(x_0 … x_T)                                     along one path
    chain      KL(q(x_T | x_{T−1}) ‖ p(x_T)) + Σ E log q(x_i | x_{i−1})/p(x_i | x_{i+1}) − log p(x_0 | x_1)
    bridge     KL(q(x_T | x_0) ‖ p(x_T)) + Σ KL(q(x_{i−1} | x_i, x_0) ‖ p(x_{i−1} | x_i)) − log p(x_0 | x_1)
A chain's term holds three random x's, a bridge's one and a closed form: far less variance. The chain's expectation is
often printed as KL(q(x_i | x_{i−1}) ‖ p(x_i | x_{i+1})), which is not the same number, since x_i and x_{i+1} are
dependent (a test shows it). `Importance` samples the first form, `Elbo` the last.
References: Sohl-Dickstein et al. 2015, appendix B; Ho et al. 2020, appendix A; Luo 2022, arXiv:2208.11970, eqs. 34–58.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.denoisers.decoder import Decoder, Posterior
from reverie.denoisers.terms import prior_of, reverse_of
from reverie.likelihoods.elbo import Elbo
from reverie.likelihoods.importance import Importance


def path_form(denoiser: Denoiser, x0: Tensor, *, steps: int, rng: Rng, v: float | None = None) -> Tensor:
    """One sample of the bound along one path, nats (B,)."""
    return Importance(steps=steps, particles=1, v=v).works(denoiser, x0, rng=rng)[0]


@torch.no_grad()
def chain_form(
    denoiser: Denoiser, x0: Tensor, *, steps: int, rng: Rng, v: float | None = None, decoder: Decoder | None = None
) -> Tensor:
    """One sample of the bound by forward transitions, nats (B,): three x's are drawn for every term."""
    process = denoiser.process
    before = process.marginal(x0, (steps - 1) / steps).sample(rng.fork("last")) if steps > 1 else x0
    cost = process.transition(before, (steps - 1) / steps, 1.0).kl(prior_of(denoiser, x0))
    for i in range(1, steps):
        # x_{i−1}, then x_i and x_{i+1} up the chain
        low, here, high = (i - 1) / steps, i / steps, (i + 1) / steps
        start = process.marginal(x0, low).sample(rng.fork("start", i)) if i > 1 else x0
        up = process.transition(start, low, here)
        middle = up.sample(rng.fork("middle", i))
        end = process.transition(middle, here, high).sample(rng.fork("end", i))
        cost = cost + up.log_prob(middle) - reverse_of(denoiser, end, here, high, v=v).log_prob(middle)
    x1 = process.marginal(x0, 1 / steps).sample(rng.fork("reconstruction"))
    read = (decoder or Posterior())(denoiser(x1, 1 / steps), process, 1 / steps)
    return cost - read.log_prob(x0)


def bridge_form(denoiser: Denoiser, x0: Tensor, *, steps: int, rng: Rng, v: float | None = None) -> Tensor:
    """One sample of the bound by bridges, nats (B,)."""
    return Elbo(steps=steps, draws=1, v=v)(denoiser, x0, rng=rng).total
