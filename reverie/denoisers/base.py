"""A denoiser believes: from x_t and t it states the posterior p(x_0 | x_t).

Losses, samplers and likelihoods read nothing but that belief. Its mean gives the score by Tweedie's formula,
    ∇ log p(x_t) = (α_t E[x_0 | x_t] − x_t)/σ_t²
and its spread gives the reverse variance. Guidance wraps denoisers into denoisers.
Reference: Efron 2011, "Tweedie's formula and selection bias"; Vincent 2011.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from reverie.core.distributions import Distribution
from reverie.core.tensors import Scalar, expand
from reverie.processes import Gaussian, Process


@dataclass(frozen=True)
class Condition:
    """What a sample is conditioned on: labels (B,) int64 and/or numbers (B, K); None means unconditional.

    A single label or row of numbers stands for every example.
    """

    label: Tensor | None = None
    numbers: Tensor | None = None

    def rows(self, index: Tensor | slice) -> Condition:
        """The same condition for some of the examples."""
        return Condition(
            self.label if self.label is None or self.label.shape[0] == 1 else self.label[index],
            self.numbers if self.numbers is None or self.numbers.shape[0] == 1 else self.numbers[index],
        )


class Denoiser(nn.Module, ABC):
    """p(x_0 | x_t) under a process."""

    process: Process

    @abstractmethod
    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        """The posterior of x_0 given x_t (B, *D) at time t: a float for all, or a float64 tensor (B,)."""

    def given(self, condition: Condition) -> Self:
        """The same denoiser with a condition bound; one that knows no conditions refuses."""
        raise ValueError(f"{type(self).__name__} is unconditional")


def gaussian(denoiser: Denoiser) -> Gaussian:
    """The denoiser's process where a Gaussian one is needed; says so where it is another."""
    if not isinstance(denoiser.process, Gaussian):
        raise ValueError(f"this needs a Gaussian process, not {type(denoiser.process).__name__}")
    return denoiser.process


def score(denoiser: Denoiser, xt: Tensor, t: Scalar) -> Tensor:
    """∇ log p_t(x_t) = (α x̂_0 − x_t)/σ² (Tweedie), (B, *D)."""
    schedule = gaussian(denoiser).schedule
    alpha, sigma = expand(schedule.alpha(t), xt), expand(schedule.sigma(t), xt)
    return (alpha * denoiser(xt, t).mean - xt) / sigma**2


def noise(denoiser: Denoiser, xt: Tensor, t: Scalar) -> Tensor:
    """ε̂ = (x_t − α x̂_0)/σ, (B, *D)."""
    schedule = gaussian(denoiser).schedule
    alpha, sigma = expand(schedule.alpha(t), xt), expand(schedule.sigma(t), xt)
    return (xt - alpha * denoiser(xt, t).mean) / sigma
