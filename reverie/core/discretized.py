"""A normal distribution read through levels: the probability of each of `bins` equal bins on [−1, 1].

    P(x) = Φ((x + δ − μ)/s) − Φ((x − δ − μ)/s),   δ = 1/(bins − 1),   the outer bins open to ±∞
Exact in both tails, where the difference of two cdfs is 0 in floating point: the interval is mirrored to the left
half-line and written with log Φ; a bin much narrower than s is the density times its width with the next order.
Reference: Salimans et al. 2017, arXiv:1701.05517, section 2.1; Ho et al. 2020, arXiv:2006.11239, equation 13.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.core.distributions import LOG_2PI, Distribution
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, sum_features

_NARROW = 1e-3  # below this half-width × (1 + |z|) the series is exact to 1e-13


class DiscretizedNormal(Distribution):
    """N(mean, std²) on the levels 2k/(bins − 1) − 1, k = 0 … bins − 1. Raises ValueError for fewer than 2 bins.

    Log-probability and gradients are finite for every level and every std > 0 (float64 inside).
    """

    def __init__(self, mean: Tensor, std: Scalar, bins: int = 256) -> None:
        if bins < 2:
            raise ValueError(f"a discretised normal needs at least 2 bins, not {bins}")
        self.mean, self.std, self.bins = mean, std, bins

    def sample(self, rng: Rng) -> Tensor:
        std = torch.as_tensor(self.std, dtype=self.mean.dtype, device=self.mean.device)
        drawn = self.mean + std * rng.normal(self.mean)
        return self._level(drawn).to(self.mean)

    def settle(self, rng: Rng) -> Tensor:
        return self.mean

    def _level(self, x: Tensor) -> Tensor:
        half = (self.bins - 1) / 2
        return ((x.to(torch.float64) + 1) * half).round().clamp(0, self.bins - 1) / half - 1

    def log_prob(self, x: Tensor) -> Tensor:
        return sum_features(self.log_probs(x))

    def log_probs(self, x: Tensor) -> Tensor:
        """log P of the level nearest to each element, (B, *D) float64."""
        level, mean = self._level(x), self.mean.to(torch.float64)
        std = torch.as_tensor(self.std, dtype=torch.float64, device=mean.device).expand_as(mean)
        half = 1 / (self.bins - 1)
        z, h = (level - mean) / std, half / std
        first, last = level < -1 + half, level > 1 - half
        inner = log_interval(z, h)
        outer = torch.special.log_ndtr(torch.where(first, z + h, h - z))
        return torch.where(first | last, outer, inner)


def log_interval(z: Tensor, h: Tensor) -> Tensor:
    """log [Φ(z + h) − Φ(z − h)], h > 0, without cancellation, elementwise."""
    z = -z.abs()  # by symmetry the mass lies on the left, where log Φ resolves it
    narrow = h * (1 - z) < _NARROW
    h_wide = torch.where(narrow, torch.ones_like(h), h)
    upper, lower = torch.special.log_ndtr(z + h_wide), torch.special.log_ndtr(z - h_wide)
    wide = upper + torch.log(-torch.expm1(lower - upper))
    h_thin = torch.where(narrow, h, torch.full_like(h, 1e-4))
    z_thin = torch.where(narrow, z, torch.zeros_like(z))
    # ∫ φ over the bin = φ(z) 2h (1 + h² (z² − 1)/6 + …)
    series = torch.log1p(h_thin**2 * (z_thin**2 - 1) / 6)
    thin = -0.5 * (z_thin**2 + LOG_2PI) + torch.log(2 * h_thin) + series
    return torch.where(narrow, thin, wide)
