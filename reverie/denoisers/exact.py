"""The oracles: denoisers that know the data's law exactly. Every law of the toolkit is tested with them.

For data N(m, s²) per element, and x_t = α x_0 + σ ε, Bayes' rule gives
    p(x_0 | x_t) = N(m + k (x_t − α m), s² σ²/v),   v = α² s² + σ²,   k = α s²/v
For a mixture each component does this and is weighted by w_k N(x_t; α m_k, v_k); for a data set the posterior is a
choice among its points. Reference: Bishop 2006, equations 2.113–2.117; Karras et al. 2022, appendix B.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.core.distributions import Distribution, Empirical, Normal, NormalMixture
from reverie.core.tensors import Scalar, expand
from reverie.denoisers.base import Condition, Denoiser
from reverie.processes import Gaussian


class GaussianData(Denoiser):
    """The exact posterior for data N(mean, std²), independent per element; mean and std broadcast to (*D)."""

    process: Gaussian

    def __init__(self, process: Gaussian, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.process = process
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        alpha, sigma = expand(self.process.schedule.alpha(t), xt), expand(self.process.schedule.sigma(t), xt)
        variance = alpha**2 * self.std**2 + sigma**2
        mean = self.mean + alpha * self.std**2 / variance * (xt - alpha * self.mean)
        std = self.std * sigma / variance**0.5
        return Normal(mean, std.expand_as(mean))

    def law(self, t: Scalar = 0.0) -> Normal:
        """The exact marginal p_t for one example: N(α mean, α² std² + σ²), with a leading dimension of 1."""
        alpha, sigma = self.process.schedule.alpha(t), self.process.schedule.sigma(t)
        return Normal(alpha * self.mean[None], (alpha**2 * self.std[None] ** 2 + sigma**2) ** 0.5)


class Mixture(Denoiser):
    """The exact posterior for data Σ_k w_k N(m_k, s_k²): weights (K,), means (K, *D), stds (K,) or (K, *D).

    Bound to a label k (or labels (B,)) it is the posterior within that component.
    """

    process: Gaussian

    def __init__(self, process: Gaussian, weights: Tensor, means: Tensor, stds: Tensor) -> None:
        super().__init__()
        self.process = process
        stds = stds.reshape(-1, *(1,) * (means.dim() - 1)) if stds.dim() == 1 else stds
        self.register_buffer("log_weights", (weights / weights.sum()).log())
        self.register_buffer("means", means)
        self.register_buffer("stds", stds.expand_as(means).contiguous())
        self.log_weights: Tensor
        self.means: Tensor
        self.stds: Tensor
        self.condition = Condition()

    def given(self, condition: Condition) -> Mixture:
        bound = Mixture(self.process, self.log_weights.exp(), self.means, self.stds)
        bound.condition = condition
        return bound

    def _log_weights(self, rows: int) -> Tensor:
        label = self.condition.label
        if label is None:
            return self.log_weights.expand(rows, -1)
        only = torch.full((label.shape[0], len(self.means)), -torch.inf).to(self.means)
        return only.scatter_(1, label[:, None], 0.0).expand(rows, -1)

    def forward(self, xt: Tensor, t: Scalar) -> NormalMixture:
        alpha, sigma = self.process.schedule.alpha(t), self.process.schedule.sigma(t)
        a, s = (torch.as_tensor(expand(v, xt))[:, None] if isinstance(v, Tensor) else v for v in (alpha, sigma))
        variance = a**2 * self.stds**2 + s**2
        residual = xt[:, None] - a * self.means
        evidence = -0.5 * (residual**2 / variance + torch.log(variance)).flatten(2).sum(2)
        means = self.means + a * self.stds**2 / variance * residual
        stds = self.stds * s / variance**0.5
        return NormalMixture(self._log_weights(len(xt)) + evidence, means, stds.expand_as(means))

    def law(self, t: Scalar = 0.0) -> NormalMixture:
        """The exact marginal p_t for one example (a leading dimension of 1): Σ w_k N(α m_k, α² s_k² + σ²)."""
        alpha, sigma = self.process.schedule.alpha(t), self.process.schedule.sigma(t)
        stds = (alpha**2 * self.stds**2 + sigma**2) ** 0.5
        return NormalMixture(self._log_weights(1), alpha * self.means[None], stds[None])


class EmpiricalData(Denoiser):
    """The exact posterior when the data are these points (N, *D): the best any network can do on its training set.

    p(x_0 = x_n | x_t) ∝ exp(−‖x_t − α x_n‖²/(2σ²)). Bound to labels it is the posterior within each class.
    """

    process: Gaussian

    def __init__(self, process: Gaussian, points: Tensor, labels: Tensor | None = None) -> None:
        super().__init__()
        self.process = process
        self.register_buffer("points", points)
        self.register_buffer("labels", labels)
        self.points: Tensor
        self.labels: Tensor | None
        self.condition = Condition()

    def given(self, condition: Condition) -> EmpiricalData:
        bound = EmpiricalData(self.process, self.points, self.labels)
        bound.condition = condition
        return bound

    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        alpha, sigma = self.process.schedule.alpha(t), self.process.schedule.sigma(t)
        flat, points = xt.flatten(1), self.points.flatten(1)
        a, s = expand(alpha, flat), expand(sigma, flat)
        # ‖x_t − α x_n‖² up to a term without n
        distance = a**2 * (points**2).sum(1) - 2 * a * (flat @ points.T)
        log_weights = -0.5 * distance / s**2
        label = self.condition.label
        if label is not None and self.labels is not None:
            log_weights = log_weights.masked_fill(label[:, None] != self.labels, -torch.inf)
        return Empirical(log_weights, self.points)
