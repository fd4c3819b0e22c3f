"""The terms of the variational bound, each one call of the process: what losses and likelihoods share.

    −log p(x_0) ≤ KL(q(x_1 | x_0) ‖ p(x_1)) + Σ KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)) − log p(x_0 | x_first)
The same functions for every process, since they ask for prior, marginal, bridge and reverse alone.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, equation 14; Ho et al. 2020, arXiv:2006.11239, equation 5.
"""

from __future__ import annotations

from torch import Tensor

from reverie.core.distributions import Distribution, normal
from reverie.core.tensors import Scalar, expand, sum_features
from reverie.denoisers.base import Denoiser, gaussian


def prior_of(denoiser: Denoiser, x0: Tensor) -> Distribution:
    """p(x_1) for a batch like x0, on its device and in its dtype."""
    return denoiser.process.prior(tuple(x0.shape)).to(x0)


def prior_term(denoiser: Denoiser, x0: Tensor) -> Tensor:
    """L_T = KL(q(x_1 | x_0) ‖ p(x_1)), nats (B,)."""
    return denoiser.process.marginal(x0, 1.0).kl(prior_of(denoiser, x0))


def reverse_of(denoiser: Denoiser, xt: Tensor, s: Scalar, t: Scalar, *, v: float | None = None) -> Distribution:
    """p(x_s | x_t) by the denoiser's spread; with v (Gaussian only) the variance β^v β̃^(1−v) instead."""
    posterior = denoiser(xt, t)
    if v is not None:
        posterior = normal(posterior.mean, gaussian(denoiser).posterior_std(v, s, t))
    return denoiser.process.reverse(posterior, xt, s, t)


def denoising_term(
    denoiser: Denoiser, x0: Tensor, xt: Tensor, s: Scalar, t: Scalar, *, v: float | None = None
) -> Tensor:
    """KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)), nats (B,), for s > 0; times are numbers or (B,)."""
    return denoiser.process.bridge(x0, xt, s, t).kl(reverse_of(denoiser, xt, s, t, v=v))


def density_term(denoiser: Denoiser, x0: Tensor, xt: Tensor, t: Scalar) -> Tensor:
    """½ e^λ ‖x_0 − x̂_0‖², nats per unit of λ = log SNR, (B,): the integrand of the continuous-time bound.

    Reference: Kingma et al. 2021, arXiv:2107.00630, equation 18.
    """
    error = sum_features((x0 - denoiser(xt, t).mean) ** 2)
    schedule = gaussian(denoiser).schedule
    ratio = schedule.alpha(t) / schedule.sigma(t)
    return 0.5 * expand(ratio**2, error) * error
