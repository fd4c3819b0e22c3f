"""Data that have bounds: a belief is kept within them, whatever a guidance made of it.

    x̂_0′ = min(max(x̂_0, low), high)
Reference: Saharia et al. 2022, arXiv:2205.11487, section 2.3 (static thresholding).
"""

from __future__ import annotations

from typing import Self

from torch import Tensor

from reverie.core.distributions import Normal
from reverie.core.tensors import Scalar
from reverie.denoisers import Condition
from reverie.denoisers.base import Denoiser
from reverie.guidance.base import bind


class Bounded(Denoiser):
    """The inner denoiser with its mean held in [low, high]; put it around a guidance to keep that from running away.

    Reference: Saharia et al. 2022, arXiv:2205.11487, section 2.3 (static thresholding).
    """

    def __init__(self, inner: Denoiser, *, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        if not low < high:
            raise ValueError(f"low must be below high, not {low} and {high}")
        self.inner, self.process, self.low, self.high = inner, inner.process, low, high

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        belief = self.inner(xt, t)
        return Normal(belief.mean.clamp(self.low, self.high), belief.std)

    def given(self, condition: Condition) -> Self:
        return type(self)(bind(self.inner, condition), low=self.low, high=self.high)
