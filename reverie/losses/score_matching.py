"""Score matching without noise's help: the explicit, the implicit and the sliced objective, weighted by σ².

For a density q and a model score s the following differ by constants that do not depend on the model:
    explicit   ½ E‖s − ∇log q‖²              implicit    E[tr ∇s + ½ ‖s‖²]
    sliced     E[vᵀ ∇s v + ½ (vᵀ s)²]        denoising   ½ E‖s(x_t) − ∇log q(x_t | x_0)‖²
the last (`Regression` with `SigmaSquared`) for q the law of x_t = α x_0 + σ ε. Here q is always that law, at times
drawn from `times`.
References: Hyvärinen 2005 (implicit); Vincent 2011 (denoising); Song et al. 2019, arXiv:1905.07088 (sliced).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import expand, sum_features
from reverie.denoisers import Denoiser, gaussian, score
from reverie.losses.base import TimedLoss
from reverie.losses.times import Continuous, Times


def _noised(denoiser: Denoiser, x0: Tensor, t: Tensor, rng: Rng) -> Tensor:
    schedule = gaussian(denoiser).schedule
    eps = rng.fork("eps").normal(x0)
    return expand(schedule.alpha(t), x0) * x0 + expand(schedule.sigma(t), x0) * eps


def _weighted(denoiser: Denoiser, t: Tensor, value: Tensor) -> Tensor:
    """σ_t² times the objective."""
    return expand(gaussian(denoiser).schedule.sigma(t), value) ** 2 * value


def explicit_score_matching(
    denoiser: Denoiser, xt: Tensor, t: Tensor, true_score: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """½ σ² ‖s(x_t) − ∇log p_t(x_t)‖² (B,), for data whose score is known. Reference: Hyvärinen 2005, equation 2."""
    return _weighted(denoiser, t, 0.5 * sum_features((score(denoiser, xt, t) - true_score(xt, t)) ** 2))


def denoising_score_matching(denoiser: Denoiser, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """½ σ² ‖s(x_t) + ε/σ‖² (B,), x_t = α x_0 + σ ε. Reference: Vincent 2011, equation 9."""
    schedule = gaussian(denoiser).schedule
    alpha, sigma = expand(schedule.alpha(t), x0), expand(schedule.sigma(t), x0)
    return _weighted(denoiser, t, 0.5 * sum_features((score(denoiser, alpha * x0 + sigma * eps, t) + eps / sigma) ** 2))


@dataclass(frozen=True)
class ImplicitScore(TimedLoss):
    """σ² (tr ∇s + ½ ‖s‖²), with the exact trace by D derivatives: for data of few dimensions.

    Reference: Hyvärinen 2005, theorem 1.
    """

    times: Times = field(default_factory=Continuous)

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        with torch.enable_grad():
            xt = _noised(denoiser, x0, t, rng).requires_grad_()
            s = score(denoiser, xt, t)
            flat = s.flatten(1)
            trace = torch.zeros_like(flat[:, 0])
            for d in range(flat.shape[1]):
                (row,) = torch.autograd.grad(flat[:, d].sum(), xt, create_graph=True)
                trace = trace + row.flatten(1)[:, d]
            return _weighted(denoiser, t, trace + 0.5 * sum_features(s**2))


@dataclass(frozen=True)
class SlicedScore(TimedLoss):
    """σ² (vᵀ ∇s v + ½ ‖s‖²) with v of random signs: one derivative whatever the dimension.

    `exact_norm` off takes ½ (vᵀ s)² instead of its mean ½ ‖s‖². Averaged over `projections` draws of v.
    Reference: Song et al. 2019, arXiv:1905.07088, equations 7 and 8.
    """

    times: Times = field(default_factory=Continuous)
    projections: int = 1
    exact_norm: bool = True

    def __post_init__(self) -> None:
        if self.projections < 1:
            raise ValueError(f"projections must be at least 1, not {self.projections}")

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        with torch.enable_grad():
            xt = _noised(denoiser, x0, t, rng).requires_grad_()
            s = score(denoiser, xt, t)
            total = torch.zeros_like(sum_features(s))
            for k in range(self.projections):
                v = rng.fork("projection", k).rademacher(xt)
                along = sum_features(v * s)
                (row,) = torch.autograd.grad(along.sum(), xt, create_graph=True)
                square = sum_features(s**2) if self.exact_norm else along**2
                total = total + sum_features(v * row) + 0.5 * square
            return _weighted(denoiser, t, total / self.projections)
