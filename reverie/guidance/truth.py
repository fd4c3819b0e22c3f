"""The exact posterior of a linear observation of a Gaussian mixture: what every method is measured against.

For component k with mean m and covariance S = diag(s²), and y = A x + σ_y n,
    K = S Aᵀ (A S Aᵀ + σ_y²)⁻¹      p(x | y, k) = N(m + K (y − A m), S − K A S)      p(y | k) = N(y; A m, A S Aᵀ + σ_y²)
Reference: Bishop 2006, equations 2.113–2.117.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers.exact import Mixture
from reverie.guidance.inverse import Observation
from reverie.guidance.operators import Mask


@dataclass(frozen=True)
class LinearPosterior:
    """p(x_0 | y) = Σ_k w_k N(m_k, C_k): weights (B, K) as logarithms, means (B, K, D), factors (K, D, D) with C = F Fᵀ.

    `log_evidence` is log p(y), (B,). D counts the elements of an example, flattened.
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor
    log_evidence: Tensor

    @property
    def mean(self) -> Tensor:
        """E[x_0 | y], (B, D)."""
        return (self.log_weights.exp()[..., None] * self.means).sum(1)

    def sample(self, count: int, rng: Rng) -> Tensor:
        """(B, count, D)."""
        rows, size = len(self.means), self.means.shape[2]
        u = rng.fork("component").uniform(rows, count).to(self.means)
        k = torch.searchsorted(self.log_weights.exp().cumsum(1), u).clamp(max=self.means.shape[1] - 1)
        z = rng.fork("normal").normal(self.means.new_empty(rows, count, size))
        centre = torch.gather(self.means, 1, k[..., None].expand(-1, -1, size))
        return centre + torch.einsum("bcij,bcj->bci", self.factors[k], z)


def linear_posterior(mixture: Mixture, observation: Observation) -> LinearPosterior:
    """The truth for y (B, *M), in float64. Raises ValueError for an observation without noise."""
    if observation.noise == 0:
        raise ValueError("the exact posterior is computed for a noise above 0")
    operator, size = observation.operator, mixture.means[0].numel()
    columns = operator.apply(torch.eye(size, dtype=torch.float64).reshape(size, *mixture.means.shape[1:]))
    a = columns.flatten(1).T
    y = observation.y.double().flatten(1)
    if isinstance(operator, Mask):
        seen = operator.mask.flatten()
        a, y = a[seen], y[:, seen]
    log_weights, means, factors = [], [], []
    for k in range(len(mixture.means)):
        m, s2 = mixture.means[k].double().flatten(), mixture.stds[k].double().flatten() ** 2
        total = a * s2 @ a.T + observation.noise**2 * torch.eye(len(a), dtype=torch.float64)
        gain = torch.linalg.solve(total, a * s2).T
        residual = y - a @ m
        quadratic = (residual * torch.linalg.solve(total, residual.T).T).sum(1)
        log_weights.append(
            mixture.log_weights[k].double() - 0.5 * (quadratic + torch.logdet(total) + len(a) * math.log(2 * math.pi))
        )
        means.append(m + residual @ gain.T)
        values, vectors = torch.linalg.eigh(torch.diag(s2) - gain @ (a * s2))
        factors.append(vectors * values.clamp(min=0).sqrt())
    joint = torch.stack(log_weights, 1)
    evidence = joint.logsumexp(1)
    return LinearPosterior(joint - evidence[:, None], torch.stack(means, 1), torch.stack(factors), evidence)
