"""A noise path that can be refined: more steps follow the same Brownian motion, and so refine the same sample.

Its clock is c = SNR, in which the noise of the reverse SDE (η = 1) over a step is exactly an increment of W. Each
octave [2ᵏ, 2ᵏ⁺¹] has its own increment and is refined by halving: between W_a and W_b the midpoint is
(W_a + W_b)/2 + ½ √(b − a) z, with z a function of (rng, octave, level, place) alone. So an increment is the same
whoever asks, in any order, and nothing is stored.
Reference: Lévy 1948; Li et al. 2020, arXiv:2001.01328, section 4 (the virtual Brownian tree).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.samplers.base import Sampler, State
from reverie.samplers.exponential import point
from reverie.samplers.sde import SdeDpm

# Where the signal is nothing at all (zero SNR), the path starts here.
FIRST = 2.0**-40


@dataclass(frozen=True)
class BrownianPath:
    """Brownian motion over clock times c > 0 for each example that `rng` names; exact to 2^−depth of an octave."""

    rng: Rng
    depth: int = 16

    def increment(self, a: float, b: float, like: Tensor) -> Tensor:
        """W_b − W_a for 0 < a < b, with the shape (B, *D) of `like`."""
        first, last = (math.frexp(c)[1] - 1 for c in (a, b))
        total = self._within(last, b, like) - self._within(first, a, like)
        for octave in range(first, last):
            total = total + self._whole(octave, like)
        return total

    def _whole(self, octave: int, like: Tensor) -> Tensor:
        """W at the octave's end minus W at its start, N(0, 2ᵏ)."""
        return 2 ** (octave / 2) * self.rng.fork("octave", octave).normal(like)

    def _within(self, octave: int, c: float, like: Tensor) -> Tensor:
        """W_c minus W at the octave's start; between the finest halvings a straight line."""
        start, width, place = 2.0**octave, 2.0**octave, 0
        low = torch.zeros_like(like)
        if c == start:
            return low
        high = self._whole(octave, like)
        for level in range(1, self.depth + 1):
            z = self.rng.fork("halving", octave, level, place).normal(like)
            middle = (low + high) / 2 + 0.5 * math.sqrt(width) * z
            width /= 2
            right = c >= start + width
            place, start = 2 * place + right, start + right * width
            low, high = (middle, high) if right else (low, middle)
        return low + (c - start) / width * (high - low)


class Increment(Rng):
    """An `Rng` whose first draw is given, and whose later draws are its own."""

    __slots__ = ("_given",)

    def __init__(self, rng: Rng, given: Tensor) -> None:
        self._key, self._examples = rng._key, rng._examples
        self._given: Tensor | None = given

    def normal(self, like: Tensor) -> Tensor:
        given, self._given = self._given, None
        return super().normal(like) if given is None else given


class Remembered(NamedTuple):
    """The path, and the inner sampler's own state."""

    path: BrownianPath
    inner: State


@dataclass(frozen=True)
class Refinable(Sampler):
    """Any stochastic sampler on one Brownian path: its noise in the step from t to s is (W_s − W_t)/√(c_s − c_t).

    c is the signal-to-noise ratio. With one seed, 20 and 40 steps draw the same sample more and less coarsely. One
    draw a step is the path's; others (a corrector's) are independent. Costs about 30 draws a step instead of one.
    Reference: Li et al. 2020, arXiv:2001.01328, section 4.
    """

    inner: Sampler = field(default_factory=SdeDpm)

    @property
    def order(self) -> int:
        return self.inner.order

    @property
    def stochastic(self) -> bool:
        return self.inner.stochastic

    @property
    def evaluations(self) -> int:
        return self.inner.evaluations

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        path = BrownianPath((rng or Rng(0)).fork("brownian"))
        return Remembered(path, self.inner.init(denoiser, x, rng=rng))

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        start, end = (math.exp(min(2 * point(schedule, u)[2], 700.0)) for u in (t, s))
        if point(schedule, s)[1] > 0:
            start = max(start, FIRST)
            rng = Increment(rng, state.path.increment(start, end, x) / math.sqrt(end - start))
        x, inner = self.inner.step(denoiser, x, t, s, state=state.inner, rng=rng)
        return x, Remembered(state.path, inner)
