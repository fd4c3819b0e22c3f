"""The oracle for data that are uniform on an interval: the density every model of bytes should beat.

    p(x_0 | x_t) = N(x_t/α, σ²/α²) cut to [low, high], per element
Reference: Johnson, Kotz & Balakrishnan 1994, Continuous Univariate Distributions, section 13.10 (its moments).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from reverie.core.discretized import log_interval
from reverie.core.distributions import LOG_2PI, Distribution
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, expand, sum_features
from reverie.denoisers.base import Denoiser
from reverie.processes import Gaussian

_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(48))


class CutNormal(Distribution):
    """∝ exp(slope·x − ½ precision·x²) on [low, high], per element; precision 0 is (exponentially tilted) uniform.

    Moments in closed form where the normal is narrower than the interval, else by Gauss–Legendre quadrature.
    """

    def __init__(self, slope: Tensor, precision: Tensor, low: float, high: float) -> None:
        self.slope, self.precision, self.low, self.high = slope, precision, low, high
        self._narrow = precision * (high - low) ** 2 > 16.0
        narrow_mean, narrow_var, narrow_mass = self._closed()
        wide_mean, wide_var, wide_mass = self._quadrature()
        self.mean = torch.where(self._narrow, narrow_mean, wide_mean)
        self.std = torch.where(self._narrow, narrow_var, wide_var).clamp(min=0).sqrt()
        self._log_mass = torch.where(self._narrow, narrow_mass, wide_mass)

    def _closed(self) -> tuple[Tensor, Tensor, Tensor]:
        precision = torch.where(self._narrow, self.precision, torch.ones_like(self.precision))
        slope = torch.where(self._narrow, self.slope, torch.zeros_like(self.slope))
        std, center = precision**-0.5, slope / precision
        a, b = (self.low - center) / std, (self.high - center) / std
        log_z = log_interval((a + b) / 2, (b - a) / 2)
        at_a, at_b = (torch.exp(-0.5 * (z**2 + LOG_2PI) - log_z) for z in (a, b))
        shift = at_a - at_b
        mean = center + std * shift
        variance = std**2 * (1 + a * at_a - b * at_b - shift**2)
        return mean, variance, log_z + std.log() + 0.5 * LOG_2PI + 0.5 * slope**2 / precision

    def _quadrature(self) -> tuple[Tensor, Tensor, Tensor]:
        half, middle = (self.high - self.low) / 2, (self.high + self.low) / 2
        x = middle + half * _NODES.to(self.slope)
        slope = torch.where(self._narrow, torch.zeros_like(self.slope), self.slope)[..., None]
        precision = torch.where(self._narrow, torch.zeros_like(self.precision), self.precision)[..., None]
        logs = slope * x - 0.5 * precision * x**2 + (half * _WEIGHTS.to(self.slope)).log()
        log_mass = logs.logsumexp(-1)
        weights = (logs - log_mass[..., None]).exp()
        mean = (weights * x).sum(-1)
        return mean, (weights * (x - mean[..., None]) ** 2).sum(-1), log_mass

    def sample(self, rng: Rng) -> Tensor:
        """By inverting the cdf on a grid of 4096 cells (the density is linear within a cell to 1e-6)."""
        edges = torch.linspace(self.low, self.high, 4097, dtype=self.mean.dtype, device=self.mean.device)
        logs = self.slope[..., None] * edges - 0.5 * self.precision[..., None] * edges**2
        mass = (logs - logs.amax(-1, keepdim=True)).exp()
        cdf = torch.cat((torch.zeros_like(mass[..., :1]), ((mass[..., 1:] + mass[..., :-1]) / 2).cumsum(-1)), -1)
        u = rng.uniform(len(self.mean), *self.mean.shape[1:]).to(self.mean)[..., None] * cdf[..., -1:]
        k = torch.searchsorted(cdf, u).clamp(1, 4096)
        below, above = cdf.gather(-1, k - 1), cdf.gather(-1, k)
        return (edges[k - 1] + (u - below) / (above - below) * (edges[1] - edges[0])).squeeze(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        inside = (x >= self.low) & (x <= self.high)
        terms = self.slope * x - 0.5 * self.precision * x**2 - self._log_mass
        return sum_features(terms.masked_fill(~inside, -math.inf))


class UniformData(Denoiser):
    """The exact posterior for data uniform on [low, high] in every element. Raises ValueError for an empty interval."""

    process: Gaussian

    def __init__(self, process: Gaussian, *, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        if not low < high:
            raise ValueError(f"low must be below high, not {low} and {high}")
        self.process, self.low, self.high = process, low, high

    def forward(self, xt: Tensor, t: Scalar) -> CutNormal:
        alpha, sigma = expand(self.process.schedule.alpha(t), xt), expand(self.process.schedule.sigma(t), xt)
        precision = torch.zeros_like(xt) + (alpha / sigma) ** 2
        return CutNormal(alpha / sigma**2 * xt, precision, self.low, self.high)
