"""Classifier-free guidance and autoguidance: away from one denoiser, through another.

    x̂_0 = base + w (better − base)
with base unconditional (or bound to a negative condition) and better conditional; or base a worse model of the same
data. w = 0 is the base, w = 1 the better one, w > 1 guides. Outside the interval of noise levels w is 1.
References: with each class.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

from torch import Tensor

from reverie.core.distributions import Distribution, Normal
from reverie.core.tensors import Scalar, expand
from reverie.denoisers import Condition, Denoiser
from reverie.guidance.base import Guidance, bind, equals


class Extrapolation(Guidance, ABC):
    """base + w (better − base), its spread over features drawn back towards the better one's by `rescale`.

        x̂_r = x̂ std(better)/std(x̂),   x̂ ← rescale x̂_r + (1 − rescale) x̂
    Reference for `rescale`: Lin et al. 2023, arXiv:2305.08891, equations 15 and 16.
    """

    neutral = 1.0

    def __init__(
        self, inner: Denoiser, *, scale: float = 1.0, low: float = 0.0, high: float = math.inf, rescale: float = 0.0
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high)
        if not 0 <= rescale <= 1:
            raise ValueError(f"rescale must be between 0 and 1, not {rescale}")
        self.rescale = rescale

    @abstractmethod
    def pair(self) -> tuple[Denoiser, Denoiser]:
        """(base, better)."""

    def steered(self, xt: Tensor, t: Scalar, strength: Scalar) -> Distribution:
        base, better = self.pair()
        if base is better or equals(strength, 1.0):
            return better(xt, t)
        if equals(strength, 0.0):
            return base(xt, t)
        wanted = better(xt, t)
        low = base(xt, t).mean
        mean = low + expand(strength, low) * (wanted.mean - low)
        if self.rescale:
            ratio = _spread(wanted.mean) / _spread(mean).clamp(min=1e-12)
            mean = (self.rescale * expand(ratio, mean) + (1 - self.rescale)) * mean
        return Normal(mean, wanted.std)


class ClassifierFree(Extrapolation):
    """x̂_0 = x̂_0(∅) + scale (x̂_0(y) − x̂_0(∅)): one network, with and without its condition.

    The condition y is bound by `given`; until then it is the inner denoiser. `negative` takes the place of ∅.
    Reference: Ho & Salimans 2022, arXiv:2207.12598, equation 6 (their w is scale − 1).
    """

    def __init__(
        self,
        inner: Denoiser,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        rescale: float = 0.0,
        negative: Condition | None = None,
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high, rescale=rescale)
        self.base = inner if negative is None else bind(inner, negative)

    def given(self, condition: Condition) -> Self:
        return self._with(inner=bind(self.inner, condition))

    def pair(self) -> tuple[Denoiser, Denoiser]:
        return self.base, self.inner


class Auto(Extrapolation):
    """x̂_0 = worse + scale (inner − worse): a worse model of the same data (fewer updates or weights) as the base.

    A condition is bound to both. Reference: Karras et al. 2024, arXiv:2406.02507.
    """

    def __init__(
        self,
        inner: Denoiser,
        worse: Denoiser,
        *,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        rescale: float = 0.0,
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high, rescale=rescale)
        if worse.process != inner.process:
            raise ValueError(f"both models need one process, not {inner.process} and {worse.process}")
        self.worse = worse

    def given(self, condition: Condition) -> Self:
        return self._with(inner=bind(self.inner, condition), worse=bind(self.worse, condition))

    def pair(self) -> tuple[Denoiser, Denoiser]:
        return self.worse, self.inner


def _spread(x: Tensor) -> Tensor:
    """The standard deviation over an example's features, (B,)."""
    return x.flatten(1).std(1, correction=0)
