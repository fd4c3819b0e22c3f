"""Which way of sampling to take, by a rule that chance does not turn.

Distances come with the error of their difference, in which noise that is common to both cancels. A way is as good as
the best where no other's distance is smaller by more than three errors of the difference: among many, some are lucky.
Of these the cheapest is taken: by evaluations of the network, then without guidance, then in the order in which the
samplers were named. Ways that another three errors would let in are tied with it, and named. So a second seed takes the
same way or one that the first has named: for any other, a difference would have to grow by three errors between them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from reverie.metrics import Estimate

SURE = 2.0  # standard errors
NEAR = 3.0
SLIGHT = 0.05  # of the best distance
TINY = 1e-300


@dataclass(frozen=True)
class Way:
    """A way of sampling: a run, a sampler, its steps, and the scale of classifier-free guidance (1 for none)."""

    run: str
    sampler: str
    steps: int
    scale: float = 1.0

    @property
    def command(self) -> str:
        """What to type for it."""
        guidance = f" --guide cfg --scale {self.scale:g}" if self.scale != 1 else ""
        return f"reverie sample {self.run} --sampler {self.sampler} --steps {self.steps}{guidance}"

    @property
    def short(self) -> str:
        """Its sampler and steps in a word or two."""
        return f"{self.sampler} {self.steps}" + (f" at {self.scale:g}" if self.scale != 1 else "")


@dataclass(frozen=True)
class Comparison:
    """What a way reaches: quality (distance, lower is better), diversity (coverage), cost; `dropped` early or not.

    `samples` is how many the distance was taken of: ways that led the others have drawn more.
    """

    way: Way
    evaluations: int
    samples: int
    distance: Estimate
    coverage: float
    seconds: float  # per 1,000 samples
    dropped: bool = False

    def worse_than(self, other: Comparison) -> Estimate:
        """How much larger the distance is: most of the noise is common to both and cancels."""
        return self.distance.minus(other.distance)


@dataclass(frozen=True)
class Choice:
    """The way that is taken, and the others that another seed might take, cheapest first."""

    taken: Comparison
    tied: tuple[Comparison, ...] = ()


def choose(ways: Sequence[Comparison], *, slight: bool = False) -> Choice | None:
    """The cheapest of the ways that are as good as the best of them; None of none.

    `slight`: differences below 5 % of the best distance, or below the error of that distance, do not count either.
    Where some have drawn more samples than others, they were ahead of these before.
    """
    if not ways:
        return None
    most = max(c.samples for c in ways)
    ways = [c for c in ways if c.samples == most]
    best = min(ways, key=lambda c: c.distance.value)
    least = max(SLIGHT * abs(best.distance.value), best.distance.error) if slight else 0.0
    behind = [(c, max(_errors(c, other, least) for other in ways)) for c in ways]
    taken = min((c for c, errors in behind if errors <= NEAR), key=_cost)
    tied = [c for c, errors in behind if errors <= 2 * NEAR and c is not taken]
    return Choice(taken, tuple(sorted(tied, key=_cost)))


def _errors(c: Comparison, other: Comparison, least: float) -> float:
    """By how many errors of the difference c is worse than another; none where it is by no more than `least`, and
    counted from there.
    """
    gap = c.worse_than(other)
    return max(0.0, gap.value - least) / max(gap.error, TINY)


def _cost(c: Comparison) -> tuple[float, bool]:
    return c.seconds, c.way.scale != 1


def recommend(found: Sequence[Comparison], *, within: float | None = None) -> dict[str, Choice | None]:
    """The best, the best within a time (seconds per 1,000 samples), and the fastest that is as good but for a trifle.

    Without `within` it is half the time of the way in the middle, or that of the quickest if none takes so little.
    """
    whole = [c for c in found if not c.dropped]
    times = [c.seconds for c in found]
    limit = max(statistics.median(times) / 2, min(c.seconds for c in whole)) if within is None else within
    return {
        "best quality": choose(whole),
        f"best within {limit:.3g} s per 1,000": choose([c for c in whole if c.seconds <= limit]),
        "fastest within 5 % of the best": choose(whole, slight=True),
    }


def leading(found: Sequence[Comparison], *, within: float | None = None) -> list[Comparison]:
    """The ways that a recommendation takes or names as tied: those that more samples could decide between."""
    choices = [choice for choice in recommend(found, within=within).values() if choice is not None]
    named = [c for choice in choices for c in (choice.taken, *choice.tied)]
    return [c for c in found if c in named]


def beaten(c: Comparison, found: Sequence[Comparison]) -> bool:
    """Whether another way of the same run is surely better for no more evaluations."""
    rivals = [o for o in found if o.way.run == c.way.run and o.evaluations <= c.evaluations]
    return any(_errors(c, other, 0.0) > SURE for other in rivals)


def front(found: Sequence[Comparison]) -> list[Comparison]:
    """Those that no other beats in distance, coverage and seconds together."""
    whole = [c for c in found if not c.dropped]

    def better(o: Comparison, c: Comparison) -> bool:
        both = [(x.distance.value, -x.coverage, x.seconds) for x in (o, c)]
        return both[0] != both[1] and all(a <= b for a, b in zip(*both, strict=True))

    return [c for c in whole if not any(better(o, c) for o in whole)]
