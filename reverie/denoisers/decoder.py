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
from reverie.processes import Process, Schedule


class Decoder(ABC):
    """How x_0 is read off x_1."""

    @abstractmethod
    def __call__(self, posterior: Distribution, process: Process, t: Scalar) -> Distribution:
        """p(x_0 | x_1), from what the denoiser believes at x_1 and its time t."""


@dataclass(frozen=True)
class Posterior(Decoder):
    """The denoiser's own posterior, whatever its family: exact for the oracles and for discrete processes."""

    def __call__(self, posterior: Distribution, process: Process, t: Scalar) -> Distribution:
        return posterior


@dataclass(frozen=True)
class Continuous(Decoder):
    """The density N(x_0; x̂_0, s²): for data without levels."""

    std: float | None = None

    def __post_init__(self) -> None:
        _check(self.std)

    def __call__(self, posterior: Distribution, process: Process, t: Scalar) -> Normal:
        return Normal(posterior.mean, decoder_std(posterior, process, t, self.std))


@dataclass(frozen=True)
class Discretised(Decoder):
    """P(x_0) of N(x̂_0, s²) on `bins` levels over [−1, 1], the outer bins open: for bytes 256, for digits 17."""

    bins: int = 256
    std: float | None = None

    def __post_init__(self) -> None:
        _check(self.std)
        if self.bins < 2:
            raise ValueError(f"bins must be at least 2, not {self.bins}")

    def __call__(self, posterior: Distribution, process: Process, t: Scalar) -> DiscretizedNormal:
        return DiscretizedNormal(posterior.mean, decoder_std(posterior, process, t, self.std), self.bins)


def decoder_std(posterior: Distribution, process: Process, t: Scalar, std: float | None) -> Tensor:
    """The std of x_0 around x̂_0: the one given, else the denoiser's (a thousandth of σ_t/α_t or more), else σ_t/α_t."""
    if std is not None:
        return torch.full_like(posterior.mean, std)
    schedule = schedule_of(process)
    flat = torch.zeros_like(posterior.mean) + expand(schedule.sigma(t) / schedule.alpha(t), posterior.mean)
    if not isinstance(posterior.std, Tensor) and posterior.std == 0:
        return flat
    # a network that is sure of x_0 to the last bit would pay without bound for being wrong
    stated = torch.as_tensor(posterior.std).to(flat)
    stated = stated.reshape(-1, *(1,) * (flat.dim() - 1)) if stated.dim() == 1 else stated
    return torch.maximum(stated.expand_as(flat), 1e-3 * flat)


def schedule_of(process: Process) -> Schedule:
    """The schedule of a process that adds Gaussian noise by one. Raises ValueError where it has none."""
    schedule = getattr(process, "schedule", None)
    if not isinstance(schedule, Schedule):
        raise ValueError(f"this needs a process with a noise schedule, which {type(process).__name__} has not")
    return schedule


def _check(std: float | None) -> None:
    if std is not None and not std > 0:
        raise ValueError(f"std must be above 0, not {std}")
