"""A loss reads the denoiser's belief about noised data and returns one number per example.

Every draw (time, noise) is a function of the `rng`'s seed and the example's number, so that a batch split over
processes, or a resumed run, computes the same terms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.losses.times import Times


class Loss(ABC):
    """A training objective."""

    @abstractmethod
    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
        """The loss of each example, (B,)."""

    def state_dict(self) -> dict[str, Tensor]:
        """What the objective remembers from one update to the next, for resuming; nothing, for most."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what `state_dict` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} remembers nothing, but was given {', '.join(sorted(state))}")


class TimedLoss(Loss, ABC):
    """An objective that is an average over times: the law of times and the loss at given times, apart."""

    times: Times

    @abstractmethod
    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        """The loss of each example at its own time t (B,)."""

    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
        return self.at(denoiser, x0, self.times.draw(denoiser.process, rng, len(x0)), rng=rng)
