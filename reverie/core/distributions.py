"""Distributions over a batch: `sample`, `log_prob` and `kl`, each per example.

A value has shape (B, *D); log-probabilities and divergences are sums over D, in nats, shape (B,). A standard
deviation of 0 is allowed for a `Normal`: it is a point mass, which is what a network without learned variance
believes about x0. Reference: Bishop 2006, appendix B.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, expand, sum_features

LOG_2PI = math.log(2 * math.pi)


class Distribution(ABC):
    """A distribution for each example of a batch, its elements described by `mean` and `std` (B, *D)."""

    mean: Tensor
    std: Scalar

    @abstractmethod
    def sample(self, rng: Rng) -> Tensor:
        """One draw per example, (B, *D)."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (B,)."""

    def kl(self, other: Distribution) -> Tensor:
        """KL(self ‖ other) in nats, (B,); defined between members of one family."""
        raise NotImplementedError(f"no closed form for KL({type(self).__name__} ‖ {type(other).__name__})")

    def to(self, like: Tensor) -> Distribution:
        """The same distribution on the device and in the precision of `like`."""
        moved = copy.copy(self)
        moved.mean = self.mean.to(like)
        if isinstance(self.std, Tensor):
            moved.std = self.std.to(like)
        return moved

    def settle(self, rng: Rng) -> Tensor:
        """The value shown at the end of a trajectory: a draw, or for densities the mean (no noise at the last step)."""
        return self.sample(rng)


class Normal(Distribution):
    """Independent normals: N(mean, std²), with std a number, (B, 1, …) or (B, *D); std 0 is a point mass.

    log p = −½ Σ [((x − mean)/std)² + log(2π std²)]
    KL(p ‖ q) = Σ [log(σq/σp) + (σp² + (μp − μq)²)/(2σq²) − ½]
    """

    def __init__(self, mean: Tensor, std: Scalar = 0.0) -> None:
        self.mean, self.std = mean, std

    def sample(self, rng: Rng) -> Tensor:
        if isinstance(self.std, Tensor):
            return torch.addcmul(self.mean, rng.normal(self.mean), self._std())
        return torch.add(self.mean, rng.normal(self.mean), alpha=self.std) if self.std else self.mean

    def settle(self, rng: Rng) -> Tensor:
        return self.mean

    def _std(self) -> Tensor:
        return torch.as_tensor(self.std, dtype=self.mean.dtype, device=self.mean.device)

    def log_prob(self, x: Tensor) -> Tensor:
        std = self._std()
        terms = ((x - self.mean) / std) ** 2 + 2 * std.log() + LOG_2PI
        return -0.5 * sum_features(terms)

    def kl(self, other: Distribution) -> Tensor:
        if not isinstance(other, Normal):
            return super().kl(other)
        # ½ [ρ² − 1 − log ρ² + (Δμ/σq)²] with ρ² = σp²/σq²: exact also where the two variances nearly agree
        std, scale = self._std(), other._std()
        excess = ((std - scale) / scale) * ((std + scale) / scale)
        terms = excess - torch.log1p(excess) + ((self.mean - other.mean) / scale) ** 2
        return 0.5 * sum_features(terms.expand_as(self.mean))


class NormalMixture(Distribution):
    """Σ_k w_k N(mean_k, std_k²): log_weights (B, K), means (B, K, *D), stds broadcastable to means.

    `mean` and `std` are the mixture's own moments, per element:
    mean = Σ w_k m_k,   std² = Σ w_k (s_k² + (m_k − mean)²)
    """

    def __init__(self, log_weights: Tensor, means: Tensor, stds: Tensor) -> None:
        self.log_weights = log_weights.log_softmax(1)
        self.means, self.stds = means, stds
        weights = self._weights()
        self.mean = (weights * means).sum(1)
        self.std = (weights * (stds**2 + (means - self.mean[:, None]) ** 2)).sum(1).sqrt()

    def _weights(self) -> Tensor:
        return self.log_weights.exp().reshape(*self.log_weights.shape, *(1,) * (self.means.dim() - 2))

    def sample(self, rng: Rng) -> Tensor:
        rows = self.means.shape[0]
        u = rng.fork("component").uniform(rows).to(self.means)
        k = torch.searchsorted(self.log_weights.exp().cumsum(1), u[:, None]).squeeze(1)
        k = k.clamp(max=self.means.shape[1] - 1)
        row = torch.arange(rows, device=self.means.device)
        stds = self.stds.expand_as(self.means)
        return self.means[row, k] + stds[row, k] * rng.fork("normal").normal(self.mean)

    def log_prob(self, x: Tensor) -> Tensor:
        stds = self.stds.expand_as(self.means)
        terms = ((x[:, None] - self.means) / stds) ** 2 + 2 * stds.log() + LOG_2PI
        return torch.logsumexp(self.log_weights - 0.5 * terms.flatten(2).sum(2), 1)


class Empirical(Distribution):
    """A weighted choice among points: log_weights (B, N) over points (N, *D). No density.

    mean = Σ w_n x_n,   std² = Σ w_n x_n² − mean²
    """

    def __init__(self, log_weights: Tensor, points: Tensor) -> None:
        self.log_weights = log_weights.log_softmax(1)
        self.points = points
        weights, flat = self.log_weights.exp(), points.flatten(1)
        shape = (log_weights.shape[0], *points.shape[1:])
        self.mean = (weights @ flat).reshape(shape)
        self.std = (weights @ flat**2 - self.mean.flatten(1) ** 2).clamp(min=0).sqrt().reshape(shape)

    def sample(self, rng: Rng) -> Tensor:
        u = rng.uniform(len(self.log_weights)).to(self.points)
        n = torch.searchsorted(self.log_weights.exp().cumsum(1), u[:, None]).squeeze(1)
        return self.points[n.clamp(max=len(self.points) - 1)]

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError("a weighted choice among points has no density")


def normal(mean: Tensor, std: Scalar) -> Normal:
    """`Normal` with a std given per example (B,) or as one number."""
    return Normal(mean, expand(std, mean))
