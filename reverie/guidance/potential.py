"""Multiplying by another prior: samples of p(x_0) r(x_0) for any differentiable log r.

The exact twist is ψ(x_t) = E[r(x_0) | x_t]. Three approximations of it, each exact in its own case, and all of them
proposals for particles, which remove the bias.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.5 and appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reverie.core.tensors import Scalar, expand
from reverie.denoisers import Denoiser
from reverie.guidance.base import Traced, Twisted
from reverie.processes import Schedule

LogReward = Callable[[Tensor], Tensor]  # x (B, *D) → log r(x), (B,)


class Potential(Twisted):
    """ψ(x_t) = r(x̂_0(x_t)): the reward of what the denoiser believes, differentiated through the denoiser.

    Exact where log r is linear and the data are Gaussian.
    Reference: Bansal et al. 2023, arXiv:2302.07121; Chung et al. 2023, arXiv:2209.14687, section 3.1.
    """

    def __init__(
        self, inner: Denoiser, reward: LogReward, *, scale: float = 1.0, low: float = 0.0, high: float = math.inf
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high)
        self.reward = reward

    def slope(self, x: Traced, t: Scalar) -> tuple[Tensor, Tensor]:
        value = self.reward(x.belief.mean)
        return value, x.gradient(value)

    def log_reward(self, x0: Tensor) -> Tensor:
        return self.reward(x0)


class NoisyPotential(Potential):
    """ψ(x_t) = r(x_t/√(α² + σ²)): the 2015 form, the reverse mean moved by Σ ∂ log r/∂x at noisy x.

    No gradient passes through the denoiser. Σ = σ(t|s)² is the reverse step's variance.
    Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.5 (r the same at every t).
    """

    through = False

    def slope(self, x: Traced, t: Scalar) -> tuple[Tensor, Tensor]:
        schedule = self.process.schedule
        norm = (schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2) ** 0.5
        value = self.reward(x.x / expand(norm, x.x))
        return value, x.gradient(value)


class DirectPotential(Potential):
    """x̂_0′ = x̂_0 + V ∇ log r(x̂_0), V the posterior's variance: no gradient through the denoiser, half the cost.

    V is the denoiser's own where it states one, else s²σ²/(α²s² + σ²) for data of standard deviation s = `data_std`.
    Exact where log r is linear and the data are Gaussian.
    Reference: He et al. 2024, arXiv:2311.16424 (guidance on the clean estimate).
    """

    through = False

    def __init__(
        self,
        inner: Denoiser,
        reward: LogReward,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        data_std: float = 1.0,
    ) -> None:
        super().__init__(inner, reward, scale=scale, low=low, high=high)
        self.data_std = data_std

    def slope(self, x: Traced, t: Scalar) -> tuple[Tensor, Tensor]:
        mean = x.mean.clone().requires_grad_()
        value = self.reward(mean)
        (slope,) = torch.autograd.grad(value.sum(), mean, create_graph=x.nested)
        std = x.belief.std
        if isinstance(std, Tensor) or std > 0:
            return value, std**2 * slope
        return value, expand(posterior_variance(self.process.schedule, t, self.data_std), mean) * slope


def posterior_variance(schedule: Schedule, t: Scalar, data_std: float) -> Scalar:
    """Var[x_0 | x_t] = s²σ²/(α²s² + σ²) for data N(0, s²)."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    return data_std**2 * sigma**2 / (alpha**2 * data_std**2 + sigma**2)
