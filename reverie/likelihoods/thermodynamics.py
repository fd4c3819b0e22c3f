"""What the walk back through time costs, step by step: entropy bounds, and rate against distortion.

Entropy of a reverse step, between that of the bridge and that of the forward step (D dimensions, nats):
    D/2 log(2πe β̃) = H[q(x_s | x_t, x_0)] ≤ H[q(x_s | x_t)] ≤ H[q(x_t | x_s)] = D/2 log(2πe β)
the right one wherever noising does not lower the entropy, H(x_s) ≤ H(x_t). Rate and distortion of a code that sends
x_1, x_{1−1/T}, … in turn: after time t the receiver has paid the terms above t and holds x̂_0(x_t).
References: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.6; Ho et al. 2020, arXiv:2006.11239, section 4.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import mean_features
from reverie.core.units import bits_per_dim
from reverie.denoisers import Denoiser, gaussian
from reverie.denoisers.terms import prior_term, reverse_of
from reverie.likelihoods.elbo import Elbo
from reverie.processes import Gaussian

LOG_2PI_E = math.log(2 * math.pi * math.e)


def entropy_bounds(process: Gaussian, steps: int, dimensions: int = 1) -> tuple[Tensor, Tensor]:
    """(low, high) for H[q(x_s | x_t)] of the steps from t = i/T to s = (i − 1)/T, i = 2 … T, nats (T − 1,) float64.

    Raises ValueError for fewer than 2 steps (the first has no bridge with entropy).
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, not {steps}")
    t = torch.arange(2, steps + 1, dtype=torch.float64) / steps
    s = t - 1 / steps
    bridge = torch.as_tensor(process.bridge_coefficients(s, t)[2])
    forward = torch.as_tensor(process.schedule.ratio(s, t)[1])
    low, high = (0.5 * LOG_2PI_E + std.log() for std in (bridge, forward))
    return dimensions * low, dimensions * high


@torch.no_grad()
def reverse_entropy(denoiser: Denoiser, x0: Tensor, *, steps: int, rng: Rng, v: float | None = None) -> Tensor:
    """The mean entropy of the model's own reverse steps, i = 2 … T, nats (T − 1,) float64, at x_t ~ q(x_t | x_0).

    `v` overrides their variance with β^v β̃^(1−v), as in the bound.
    """
    process, found = gaussian(denoiser), []
    for i in range(2, steps + 1):
        t, s = i / steps, (i - 1) / steps
        xt = process.marginal(x0, t).sample(rng.fork(i))
        std = torch.as_tensor(reverse_of(denoiser, xt, s, t, v=v).std).to(x0).expand_as(x0)
        found.append((0.5 * LOG_2PI_E + std.to(torch.float64).log()).flatten(1).sum(1).mean())
    return torch.stack(found)


@dataclass(frozen=True)
class Tradeoff:
    """Rate (bits per dimension) and distortion (root mean square error, model units) at falling times t, (N,) each."""

    t: Tensor
    rate: Tensor
    distortion: Tensor


@torch.no_grad()
def rate_distortion(elbo: Elbo, denoiser: Denoiser, x0: Tensor, *, rng: Rng, points: int = 24) -> Tradeoff:
    """Progressive decoding of x0 (B, *D) at `points` times of the bound's own grid, and at the data (distortion 0).

    Raises ValueError for fewer than 2 points.
    """
    if points < 2:
        raise ValueError(f"points must be at least 2, not {points}")
    curve = elbo.denoising(denoiser, x0, rng=rng.fork("denoising"))
    prior = float(prior_term(denoiser, x0).mean())
    index = torch.linspace(elbo.steps, 1, min(points, elbo.steps), dtype=torch.float64).round()
    rates, errors = [], []
    for t in (index / elbo.steps).tolist():
        paid = torch.where(curve.t > t + 0.5 / elbo.steps, curve.nats, torch.zeros_like(curve.nats)).sum(1).mean()
        xt = denoiser.process.marginal(x0, t).sample(rng.fork("distortion", round(t * elbo.steps)))
        rates.append(prior + float(paid))
        errors.append(float(mean_features((denoiser(xt, t).mean - x0) ** 2).mean()) ** 0.5)
    whole = elbo(denoiser, x0, rng=rng)
    rates.append(float(whole.total.mean()))
    rate = bits_per_dim(torch.tensor(rates, dtype=torch.float64), x0[0].numel())
    t = torch.cat((index / elbo.steps, torch.zeros(1, dtype=torch.float64)))
    return Tradeoff(t, rate, torch.tensor([*errors, 0.0], dtype=torch.float64))
