"""A noise path that can be refined: more steps follow the same Brownian motion, and so refine the same sample.

Its clock is c = SNR, in which the noise of the reverse SDE (η = 1) over a step is exactly an increment of W. Every
octave [2ᵏ, 2ᵏ⁺¹] is halved into cells; the value at a node between two known ones, W_a and W_b, is
    W_c = ((b − c) W_a + (c − a) W_b)/(b − a) + √((c − a)(b − c)/(b − a)) z
with z a function of (rng, node) alone. A walk halves down to two of its own steps, and where it stops inside a cell it
takes the z of the cell's middle, once. So its law is exactly that of Brownian motion whatever its steps are; two walks
have the same values at the nodes that both come by, and elsewhere nearly so: as near as their steps are short.
Reference: Lévy 1948; Li et al. 2020, arXiv:2001.01328, section 4 (the virtual Brownian tree).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.samplers.base import Sampler, State
from reverie.samplers.exponential import point
from reverie.samplers.sde import SdeDpm

# Where the signal is nothing at all (zero SNR), the path starts here.
FIRST = 2.0**-40
# An octave is halved at most so often, which bounds what a walk has to remember.
DEPTH = 16

Key: TypeAlias = tuple[int, ...]


class Node(NamedTuple):
    """The path's value W (B, *D) at a clock time."""

    clock: float
    value: Tensor


class Cell(NamedTuple):
    """A dyadic part of an octave; `spent` says that the z of its middle has been used."""

    start: float
    end: float
    spent: bool = False


class BrownianPath(NamedTuple):
    """Where a walk along W is, W = 0 at its start, for each example that `rng` names; `to` goes on.

    It remembers the known nodes that lie ahead, the nearest last, and the innermost cell, which ends there.
    """

    rng: Rng
    clock: float = FIRST
    value: Tensor | None = None
    ahead: tuple[Node, ...] = ()
    cell: Cell | None = None

    def to(self, clock: float, like: Tensor) -> BrownianPath:
        """The walk at a later clock time; its `value` there has the shape (B, *D) of `like`."""
        if clock < self.clock:
            raise ValueError(f"a walk along a path only goes on, not from {self.clock} back to {clock}")
        here = Node(self.clock, torch.zeros_like(like) if self.value is None else self.value)
        ahead, cell = list(self.ahead), self.cell
        while ahead and ahead[-1].clock <= clock:
            here = ahead.pop()
            cell = Cell(here.clock, ahead[-1].clock) if ahead else None
        if here.clock < clock:
            points, cell = _points(here.clock, clock, cell, 2 * (clock - self.clock))
            draws = self.rng.normals(like, [key for _, key in points]).unbind()
            for (place, _), z in zip(points, draws, strict=True):
                node = _between(here, ahead[-1] if ahead else None, place, z)
                if place > clock:
                    ahead.append(node)
                else:
                    here = node
        return BrownianPath(self.rng, clock, here.value, tuple(ahead), cell)


def _between(low: Node, high: Node | None, clock: float, z: Tensor) -> Node:
    """The node at `clock` given its neighbours; without a later one its law is N(W_low, c − c_low)."""
    if high is None:
        return Node(clock, torch.add(low.value, z, alpha=math.sqrt(clock - low.clock)))
    share = (clock - low.clock) / (high.clock - low.clock)
    spread = math.sqrt((clock - low.clock) * (1 - share))
    return Node(clock, torch.lerp(low.value, high.value, share).add_(z, alpha=spread))


def _points(here: float, clock: float, cell: Cell | None, coarsest: float) -> tuple[list[tuple[float, Key]], Cell]:
    """The nodes to draw on the way from `here` to `clock`, in order, and the cell that the walk ends in."""
    octave, points = math.frexp(clock)[1], []
    if cell is None:
        # of the octaves passed over only the last two matter; those before are drawn with the first of them
        first = max(math.frexp(here)[1], octave - 2)
        points = [(2.0**k, _key(2.0**k)) for k in range(first, octave + 1)]
        cell = Cell(2.0 ** (octave - 1), 2.0**octave)
    start, end, spent = cell
    coarsest = max(coarsest, 2.0 ** (octave - DEPTH))
    while end - start > coarsest:
        middle = (start + end) / 2
        if middle > here:
            points.append((middle, _key(middle, spent)))
        start, end, spent = (middle, end, False) if middle <= clock else (start, middle, False)
    if clock == max(here, start):
        return points, Cell(start, end, spent)
    points.append((clock, _key(clock, spent) if spent else _key((start + end) / 2)))
    return points, Cell(start, end, True)


def _key(clock: float, again: bool = False) -> Key:
    """The name of the draw for a node, the bits of its clock time; and of another where that one has been used."""
    return struct.unpack("<q", struct.pack("<d", -clock if again else clock))


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
    draw a step is the path's; others (a corrector's) are independent. The path costs about two draws a step.
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
        path, inner = state
        schedule = gaussian(denoiser).schedule
        start, end = (max(FIRST, math.exp(min(2 * point(schedule, u)[2], 700.0))) for u in (t, s))
        if point(schedule, s)[1] > 0 and end > start:
            before = path if path.clock == start else path.to(start, x)
            path = before.to(end, x)
            origin = 0 if before.value is None else before.value
            rng = Increment(rng, (path.value - origin).mul_((end - start) ** -0.5))
        x, inner = self.inner.step(denoiser, x, t, s, state=inner, rng=rng)
        return x, Remembered(path, inner)
