"""Sampling: a sampler says how to go from t to s < t; `trajectory` is the only loop over time.

The contract of a step: it may read the denoiser's posterior as often as its method needs, keeps whatever it must
remember in `state`, and draws randomness from the `rng` it is given, so that sample i depends on (seed, i) alone.
Reference for the formulation (ancestral): Ho et al. 2020, arXiv:2006.11239, algorithm 2.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reverie.core.distributions import Distribution
from reverie.core.rng import Rng
from reverie.denoisers import Condition, Denoiser
from reverie.samplers.grids import Grid, Uniform

State = Any


class Sampler(ABC):
    """A method for walking from t to s. `order` and `stochastic` are declared and verified by a law.

    `order` is the global order of the error in the step (in law where `stochastic`), 0 where it has none;
    `evaluations` is the number of denoiser calls in a step that ends above t = 0.
    """

    @property
    @abstractmethod
    def order(self) -> int: ...

    @property
    @abstractmethod
    def stochastic(self) -> bool: ...

    @property
    def evaluations(self) -> int:
        return 1

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        """What the method remembers between steps, None if it is memoryless; `rng` is the whole trajectory's."""
        return None

    @abstractmethod
    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        """x_t → x_s, with 0 ≤ s < t ≤ 1; x itself where s = t."""


@dataclass(slots=True)
class Step:
    """Where a trajectory is: after `index` steps, at time t, with x_t (B, *D), and what the sampler remembers."""

    index: int
    t: float
    x: Tensor
    state: State = None


def trajectory(denoiser: Denoiser, sampler: Sampler, x1: Tensor, grid: list[float], *, rng: Rng) -> Iterator[Step]:
    """Walk from x1 at grid[0] to grid[-1], yielding every point, the start included.

    Times fall strictly; a deterministic sampler may also walk rising times, from data to noise (see `encode`).
    Step i draws from rng.fork("step", i). Raises FloatingPointError if the last value is not finite.
    """
    falls, rises = (all(c * (t - s) > 0 for t, s in itertools.pairwise(grid)) for c in (1, -1))
    if not falls and (sampler.stochastic or not rises):
        raise ValueError("the times of a grid must fall strictly (rise, for a deterministic sampler that encodes)")
    x, state, draws = x1, sampler.init(denoiser, x1, rng=rng), rng.fork("step")
    yield Step(0, grid[0], x, state)
    for i, (t, s) in enumerate(itertools.pairwise(grid)):
        x, state = sampler.step(denoiser, x, t, s, state=state, rng=draws.fork(i))
        yield Step(i + 1, s, x, state)
    if not torch.isfinite(x).all():
        raise FloatingPointError(f"{type(sampler).__name__} produced a value that is not finite")


def chunk_size(shape: tuple[int, ...]) -> int:
    """How many examples are computed together: a function of their shape alone, so that rounding is too."""
    size = max(1, torch.Size(shape).numel())
    return max(8, min(4096, 2 ** ((16384 // size).bit_length() - 1 if size <= 16384 else 3)))


@torch.inference_mode()
def sample(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    *,
    sampler: Sampler,
    steps: int | list[float],
    grid: Grid | None = None,
    rng: Rng,
    first: int = 0,
    condition: Condition | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw samples: `shape` is (count, *D); example i has number `first` + i and depends on (rng, number) alone.

    The batch is cut into chunks of one fixed size, the last one padded, so that the arithmetic of an example does
    not depend on how many are asked for: on one CPU the same number gives the same bits. `steps` may be the grid's
    times themselves. `progress` is called with the number of examples done.
    """
    count, chunk = shape[0], chunk_size(shape[1:])
    times = steps if isinstance(steps, list) else (grid or Uniform()).times(denoiser.process, steps)
    begin = prior(denoiser, (chunk, *shape[1:]))
    out = []
    for start in range(0, count, chunk):
        number = torch.arange(chunk).add_(first + start)
        index = number.sub(first).clamp_(max=count - 1)
        bound = denoiser if condition is None else denoiser.given(condition.rows(index))
        streams = rng.at(number)
        x1 = begin.sample(streams.fork("prior"))
        *_, last = trajectory(bound, sampler, x1, times, rng=streams)
        out.append(last.x[: count - start].cpu())
        if progress:
            progress(min(start + chunk, count))
    return torch.cat(out)[:count] if out else torch.empty(shape)


def prior(denoiser: Denoiser, shape: tuple[int, ...]) -> Distribution:
    """p(x_1) of the shape (B, *D), on the device and in the precision of the denoiser's parameters."""
    like = next((p for p in denoiser.parameters()), torch.empty(0))
    return denoiser.process.prior(shape).to(like)
