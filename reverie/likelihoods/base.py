"""What a datum costs: a likelihood reads the denoiser's belief and returns named terms in nats, with their errors.

    total = Σ terms  ≥ −log p(x_0)   for a bound,      = −log p(x_0) + error   for an exact method
Every draw is a function of (seed, example), so the same examples and seeds give the same number.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.3; Kingma et al. 2021, arXiv:2107.00630, section 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim, level_nats
from reverie.denoisers import Condition, Denoiser


@dataclass(frozen=True)
class Curve:
    """Where the nats are spent: at times t (B, K) the estimates `nats` (B, K), whose sum over K is the term."""

    t: Tensor
    nats: Tensor


@dataclass(frozen=True)
class Bound:
    """Named terms in nats, (B,) each, for data of D dimensions; `errors` holds standard errors of sampled ones.

    `is_bound`: the total is an upper bound on −log p(x_0) in expectation, not an estimate of it. `details` are further
    numbers per example (evaluations, effective sample size, prior mismatch).
    """

    terms: Mapping[str, Tensor]
    dimensions: int
    errors: Mapping[str, Tensor] = field(default_factory=dict)
    is_bound: bool = True
    curve: Curve | None = None
    details: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """Σ terms: the cost in nats, (B,) float64."""
        return torch.stack([term.to(torch.float64) for term in self.terms.values()]).sum(0)

    @property
    def log_prob(self) -> Tensor:
        """−total: (a lower bound on) log p(x_0), nats, (B,)."""
        return -self.total

    @property
    def error(self) -> Tensor:
        """The standard error of the total over the method's own draws, nats, (B,); 0 where nothing is sampled."""
        squares = [error.to(torch.float64) ** 2 for error in self.errors.values()]
        return torch.stack(squares).sum(0).sqrt() if squares else torch.zeros_like(self.total)

    def bits_per_dim(self, bins: int | None = None) -> Tensor:
        """The total in bits per dimension, (B,); with `bins`, a density on [−1, 1] is counted per level of width w."""
        extra = 0.0 if bins is None else self.dimensions * level_nats(bins)
        return bits_per_dim(self.total + extra, self.dimensions)

    def interval(self, sigmas: float = 2.0, slack: float = 1e-5) -> tuple[Tensor, Tensor]:
        """(low, high) for log p(x_0) in nats: ± `sigmas` standard errors and the slack; +∞ above for a bound."""
        low, high = self.log_prob - sigmas * self.error - slack, self.log_prob + sigmas * self.error + slack
        return low, torch.full_like(high, torch.inf) if self.is_bound else high


class Likelihood(ABC):
    """A way to say what data cost under a denoiser. `samples` says whether its number is drawn (has an error)."""

    samples: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        """The cost of each example of x0 (B, *D)."""


def join(bounds: Iterable[Bound]) -> Bound:
    """The bounds of batches as one, in order."""
    parts = list(bounds)
    first = parts[0]
    curve = None
    if first.curve is not None:
        curves = [part.curve for part in parts if part.curve is not None]
        curve = Curve(torch.cat([c.t for c in curves]), torch.cat([c.nats for c in curves]))

    def all_of(read: Callable[[Bound], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([read(part)[name] for part in parts]) for name in read(first)}

    return Bound(
        all_of(lambda b: b.terms),
        first.dimensions,
        all_of(lambda b: b.errors),
        first.is_bound,
        curve,
        all_of(lambda b: b.details),
    )


def evaluate(
    likelihood: Likelihood,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    rng: Rng,
    chunk: int = 64,
    condition: Condition | None = None,
    numbers: Tensor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Bound:
    """The cost of many examples, `chunk` at a time; example i draws from stream `numbers`[i], whatever the chunk.

    `numbers` are 0, 1, 2, … where none are given. `condition` has a row for each example, or one for all; the cost is
    then that of the data given it. `progress` is called with the number of examples done.
    """
    numbers = torch.arange(len(x0)) if numbers is None else numbers
    parts = []
    for start in range(0, len(x0), chunk):
        rows = x0[start : start + chunk]
        given = slice(start, start + len(rows))
        bound = denoiser if condition is None else denoiser.given(condition.rows(given))
        parts.append(likelihood(bound, rows, rng=rng.at(numbers[given])))
        if progress:
            progress(min(start + chunk, len(x0)))
    if not parts:
        raise ValueError("there is no example to evaluate")
    return join(parts)


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the first dimension and its standard error; NaN for fewer than two values."""
    error = values.std(0) / len(values) ** 0.5 if len(values) > 1 else torch.full_like(values[0], torch.nan)
    return values.mean(0), error
