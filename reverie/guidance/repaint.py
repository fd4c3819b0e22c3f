"""RePaint: go back and forth between two times, so that what was put in and what is made up agree.

    x_s ~ p(x_s | x_t),  x_t ~ q(x_t | x_s),  x_s ~ p(x_s | x_t), …       `repeats` times in all
Reference: Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import gaussian
from reverie.denoisers.base import Denoiser


class Walker(Protocol):
    """What a sampler is, as far as it is needed here."""

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> Any: ...

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: Any, rng: Rng
    ) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class RePaint:
    """A sampler's step done `repeats` times, with the process's own noise between: t → s → t → s.

    Around a `Replacement` it is the published method; it keeps the marginals of any denoiser and any sampler of one
    step's memory. The jump is one step of the grid. Steps that begin outside the noise levels σ/α from `low` to `high`
    are done once.
    Reference: Lugmayr et al. 2022, arXiv:2201.09865, section 4.2.
    """

    inner: Walker
    repeats: int = 5
    low: float = 0.0
    high: float = math.inf
    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, not {self.repeats}")
        if not 0 <= self.low < self.high:
            raise ValueError(f"repeats need noise levels 0 <= low < high, not {self.low} and {self.high}")

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> Any:
        return self.inner.init(denoiser, x, rng=rng)

    def step(self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: Any, rng: Rng) -> tuple[Tensor, Any]:
        if s == t:
            return x, state
        # at the last step there is nothing left to agree on
        for again in range(self.repeats if s > 0 and self._within(denoiser, t) else 1):
            if again:
                x = denoiser.process.transition(x, s, t).sample(rng.fork("forth", again))
            x, _ = self.inner.step(denoiser, x, t, s, state=state, rng=rng.fork("back", again))
        return x, state

    def _within(self, denoiser: Denoiser, t: float) -> bool:
        """Whether the noise level at t is one to dwell at; a process without such levels has no other answer."""
        if self.low == 0 and self.high == math.inf:
            return True
        schedule = gaussian(denoiser).schedule
        return bool(self.low * schedule.alpha(t) <= schedule.sigma(t) <= self.high * schedule.alpha(t))
