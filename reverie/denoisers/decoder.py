"""The last step p(x_0 | x_1): from the first noised point to data, as a density or as probabilities of levels.

The mean is the denoiser's x̂_0. The std is what the denoiser states; for one that states none it is σ_1/α_1, the spread
of x_0 around x_1/α_1 when nothing else is known (the β_1 of Ho et al. on a variance-preserving schedule).
Reference: Ho et al. 2020, arXiv:2006.11239, section 3.3, equation 13.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.discretized import DiscretizedNormal
from reverie.core.distributions import Distribution, Normal
from reverie.core.tensors import Scalar, expand
from reverie.denoisers.base import Denoiser, gaussian


class Decoder(ABC):
    """How x_0 is read off x_1."""

    @abstractmethod
    def __call__(self, denoiser: Denoiser, x1: Tensor, t: Scalar) -> Distribution:
        """p(x_0 | x_1), with x1 (B, *D) at time t."""


@dataclass(frozen=True)
class Posterior(Decoder):
    """The denoiser's own posterior, whatever its family: exact for the oracles and for discrete processes."""

    def __call__(self, denoiser: Denoiser, x1: Tensor, t: Scalar) -> Distribution:
        return denoiser(x1, t)


@dataclass(frozen=True)
class Continuous(Decoder):
    """The density N(x_0; x̂_0, s²): for data without levels."""

    std: float | None = None

    def __post_init__(self) -> None:
        _check(self.std)

    def __call__(self, denoiser: Denoiser, x1: Tensor, t: Scalar) -> Normal:
        return Normal(*stated(denoiser, x1, t, self.std))


@dataclass(frozen=True)
class Discretised(Decoder):
    """P(x_0) of N(x̂_0, s²) on `bins` levels over [−1, 1], the outer bins open: for bytes 256, for digits 17."""

    bins: int = 256
    std: float | None = None

    def __post_init__(self) -> None:
        _check(self.std)
        if self.bins < 2:
            raise ValueError(f"bins must be at least 2, not {self.bins}")

    def __call__(self, denoiser: Denoiser, x1: Tensor, t: Scalar) -> DiscretizedNormal:
        return DiscretizedNormal(*stated(denoiser, x1, t, self.std), self.bins)


def stated(denoiser: Denoiser, x1: Tensor, t: Scalar, std: float | None) -> tuple[Tensor, Scalar]:
    """x̂_0 and the std of x_0 around it: the one given, else the denoiser's, else σ_t/α_t."""
    posterior = denoiser(x1, t)
    if std is not None:
        return posterior.mean, std
    schedule = gaussian(denoiser).schedule
    flat = expand(schedule.sigma(t) / schedule.alpha(t), x1)
    if not isinstance(posterior.std, Tensor):
        return posterior.mean, posterior.std or flat
    # a network that is sure of x_0 to the last bit would pay without bound for being wrong
    least = torch.zeros_like(posterior.mean) + 1e-3 * flat
    return posterior.mean, torch.maximum(torch.zeros_like(least) + expand(posterior.std, x1), least)


def _check(std: float | None) -> None:
    if std is not None and not std > 0:
        raise ValueError(f"std must be above 0, not {std}")
