"""Inverse problems y = A x_0 + σ_y n: methods that differ in what they take for the posterior's covariance.

Were p(x_0 | x_t) normal with covariance C, then exactly
    p(y | x_t) = N(y; A x̂_0, A C Aᵀ + σ_y²)        x̂_0′ = x̂_0 + C Aᵀ (A C Aᵀ + σ_y²)⁻¹ (y − A x̂_0)
`Dps` takes C = 0 in the density, `PiGdm` C = r² I in the density, `Projection` C = r² I throughout,
`MomentMatching` the denoiser's own C = (σ²/α) ∂x̂_0/∂x_t; `Replacement` puts what was seen in its place.
References: with each class; Daras et al. 2024, arXiv:2410.00083 (a survey with this view).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.distributions import LOG_2PI, Distribution, Normal
from reverie.core.tensors import Scalar, expand, sum_features
from reverie.denoisers.base import Denoiser
from reverie.guidance.base import Guidance, Traced, Twisted, equals
from reverie.guidance.operators import Mask, Operator, conjugate_gradients
from reverie.guidance.potential import posterior_variance


@dataclass(frozen=True)
class Observation:
    """y (1, *M) or (B, *M), seen through an operator with noise of standard deviation `noise` (0: none).

    Raises ValueError where y is not what the operator gives, or the noise is negative.
    """

    operator: Operator
    y: Tensor
    noise: float = 0.0

    def __post_init__(self) -> None:
        wanted = tuple(self.operator.apply(torch.zeros(1, *self.operator.shape)).shape[1:])
        if tuple(self.y.shape[1:]) != wanted:
            raise ValueError(f"the observation has the shape {tuple(self.y.shape[1:])}; the operator gives {wanted}")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"the noise of an observation must be 0 or above, not {self.noise}")

    def residual(self, x: Tensor) -> Tensor:
        """y − A x, (B, *M)."""
        seen = self.operator.apply(x)
        given = self.operator.apply(self.operator.inverse(self.y)) if isinstance(self.operator, Mask) else self.y
        return given.to(seen) - seen

    def log_prob(self, x0: Tensor) -> Tensor:
        """log N(y; A x_0, σ_y²) in nats, (B,). Raises ValueError without noise."""
        if self.noise == 0:
            raise ValueError("a noiseless observation has no density; give it a noise above 0")
        residual = self.residual(x0)
        operator = self.operator
        count = int(operator.mask.sum()) if isinstance(operator, Mask) else residual[0].numel()
        return -0.5 * (sum_features(residual**2) / self.noise**2 + count * (LOG_2PI + 2 * math.log(self.noise)))

    def settle(self, x: Tensor) -> Tensor:
        """x with a noiseless observation met; x itself where there is noise."""
        return x if self.noise > 0 else self.met(x)

    def met(self, x: Tensor) -> Tensor:
        """x + A⁺ (y − A x), the nearest to x with A x = y; behind a mask y itself."""
        if isinstance(self.operator, Mask):
            return torch.where(self.operator.mask.to(x.device), self.y.to(x), x)
        return x + self.operator.inverse(self.residual(x))


class Measured(Twisted, ABC):
    """A twist by p(y | x_t); its reward is the likelihood p(y | x_0), so that particles estimate the evidence p(y)."""

    def __init__(
        self,
        inner: Denoiser,
        observation: Observation,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high)
        self.observation = observation

    def log_reward(self, x0: Tensor) -> Tensor:
        return self.observation.log_prob(x0)

    def slope(self, x: Traced, t: Scalar) -> tuple[Tensor, Tensor]:
        residual = self.observation.residual(x.mean)
        pull = self.pull(x, t, residual)
        value = -0.5 * sum_features(residual * pull)
        return value, x.covariance(self.observation.operator.adjoint(pull))

    @abstractmethod
    def pull(self, x: Traced, t: Scalar, residual: Tensor) -> Tensor:
        """u = (A C Aᵀ + σ_y²)⁻¹ (y − A x̂_0), (B, *M), with the method's own C."""


class Dps(Measured):
    """p(y | x_t) ≈ N(y; A x̂_0, σ_y²): diffusion posterior sampling.

    With `zeta` it is the published step x_s ← x_s − ζ ∇‖y − A x̂_0‖²/‖y − A x̂_0‖ of a chain of `steps`, which in a
    step of variance β is ∇ log ψ = −(2ζ/β) ∇‖y − A x̂_0‖; without noise there is no other, and ζ = 1 is taken.
    Reference: Chung et al. 2023, arXiv:2209.14687, algorithm 1.
    """

    def __init__(
        self,
        inner: Denoiser,
        observation: Observation,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        zeta: float | None = None,
        steps: int = 1000,
    ) -> None:
        super().__init__(inner, observation, scale=scale, low=low, high=high)
        self.zeta, self.steps = zeta if zeta is not None or observation.noise > 0 else 1.0, steps

    def pull(self, x: Traced, t: Scalar, residual: Tensor) -> Tensor:
        if self.zeta is None:
            return residual / self.observation.noise**2
        s = (t - 1 / self.steps).clamp(min=0.0) if isinstance(t, Tensor) else max(t - 1 / self.steps, 0.0)
        beta = self.process.schedule.ratio(s, t)[1] ** 2
        length = sum_features(residual**2).sqrt().clamp(min=1e-12)
        return residual * expand(2 * self.zeta / (torch.as_tensor(beta).to(length) * length), residual)


class PiGdm(Measured):
    """p(y | x_t) ≈ N(y; A x̂_0, r² AAᵀ + σ_y²), r² = s²σ²/(α²s² + σ²): pseudo-inverse guidance.

    Exact for data N(m, s² I) with s = `data_std`.
    Reference: Song et al. 2023, "Pseudoinverse-guided diffusion models for inverse problems", ICLR.
    """

    def __init__(
        self,
        inner: Denoiser,
        observation: Observation,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        data_std: float = 1.0,
    ) -> None:
        super().__init__(inner, observation, scale=scale, low=low, high=high)
        self.data_std = data_std

    def pull(self, x: Traced, t: Scalar, residual: Tensor) -> Tensor:
        spread = posterior_variance(self.process.schedule, t, self.data_std)
        return self.observation.operator.solve(residual, spread, self.observation.noise**2)


class MomentMatching(Measured):
    """p(y | x_t) ≈ N(y; A x̂_0, A C Aᵀ + σ_y²) with the denoiser's own covariance C = (σ²/α) ∂x̂_0/∂x_t.

    Solved by conjugate gradients, a product with the Jacobian each: `iterations` of them at most. Exact for Gaussian
    data of any covariance. A noiseless observation is given 0.001 of the data's scale, for C has no inverse.
    Reference: Rozet et al. 2024, arXiv:2405.13712; Boys et al. 2023, arXiv:2310.06721.
    """

    def __init__(
        self,
        inner: Denoiser,
        observation: Observation,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        iterations: int = 3,
    ) -> None:
        super().__init__(inner, observation, scale=scale, low=low, high=high)
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, not {iterations}")
        self.iterations = iterations

    def pull(self, x: Traced, t: Scalar, residual: Tensor) -> Tensor:
        operator, variance = self.observation.operator, max(self.observation.noise, 1e-3) ** 2

        def covariance(u: Tensor) -> Tensor:
            return operator.apply(x.covariance(operator.adjoint(u))) + variance * u

        return conjugate_gradients(covariance, residual, iterations=self.iterations)


class Replacement(Guidance):
    """x̂_0′ = x̂_0 + A⁺ (y − A x̂_0): what was seen takes its place in x̂_0, and with it in every x_s.

    Ancestral steps then carry the seen part along q(x_s | x_t, y), as in 2015. Exact where seen and unseen are
    independent. Noise of the observation is ignored.
    Reference: Sohl-Dickstein et al. 2015, section 2.5; Song et al. 2021, arXiv:2011.13456, appendix I.2.
    """

    def __init__(
        self,
        inner: Denoiser,
        observation: Observation,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high)
        self.observation = observation

    def steered(self, xt: Tensor, t: Scalar, strength: Scalar) -> Distribution:
        belief = self.inner(xt, t)
        if equals(strength, 0.0):
            return belief
        if not equals(strength, 1.0):
            return Normal(torch.lerp(belief.mean, self.moved(belief.mean, t), expand(strength, xt)), belief.std)
        free = self.free()
        std = belief.std * free.to(xt) if isinstance(belief.std, Tensor) and isinstance(free, Tensor) else belief.std
        return Normal(self.moved(belief.mean, t), std)

    def moved(self, x0: Tensor, t: Scalar) -> Tensor:
        """x̂_0′ at full strength, (B, *D)."""
        return self.observation.met(x0)

    def free(self) -> Scalar:
        """The share of the spread that is left."""
        return self.observation.operator.free()


class Projection(Replacement):
    """x̂_0′ = argmin ‖y − A x‖²/σ_y² + ‖x − x̂_0‖²/r² = x̂_0 + r² Aᵀ (r² AAᵀ + σ_y²)⁻¹ (y − A x̂_0).

    Without noise it is `Replacement` (the null-space form of DDNM); with noise it trusts y by the noise level of x_t.
    r² as in `PiGdm`; exact for data N(m, s² I). No gradients: costs what the inner denoiser costs.
    Reference: Zhu et al. 2023, arXiv:2305.08995 (DiffPIR); Wang et al. 2022, arXiv:2212.00490 (DDNM).
    """

    def __init__(
        self,
        inner: Denoiser,
        observation: Observation,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        data_std: float = 1.0,
    ) -> None:
        super().__init__(inner, observation, scale=scale, low=low, high=high)
        self.data_std = data_std

    def moved(self, x0: Tensor, t: Scalar) -> Tensor:
        operator, noise = self.observation.operator, self.observation.noise
        if noise == 0:
            return self.observation.met(x0)
        spread = posterior_variance(self.process.schedule, t, self.data_std)
        solved = operator.solve(self.observation.residual(x0), spread, noise**2)
        return x0 + expand(spread, x0) * operator.adjoint(solved)

    def free(self) -> Scalar:
        return super().free() if self.observation.noise == 0 else 1.0
