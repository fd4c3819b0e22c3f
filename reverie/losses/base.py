"""A loss reads the denoiser's belief about noised data and returns one number per example.

Every draw (time, noise) is a function of the `rng`'s seed and the example's number, so that a batch split over
processes, or a resumed run, computes the same terms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser


class Loss(ABC):
    """A training objective."""

    @abstractmethod
    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
        """The loss of each example, (B,)."""
