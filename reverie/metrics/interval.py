"""Error bars for any metric of two samples: the delete-a-group jackknife.

    SE² = (G − 1)/G Σ_g (θ_{−g} − θ̄)²,   θ_{−g} the metric without group g of both sides
Reference: Shao & Tu 1995, "The Jackknife and Bootstrap", section 5.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from reverie.core.rng import Rng


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error; `low` and `high` enclose the truth 95 times of 100, bias apart."""

    value: float
    error: float

    @property
    def low(self) -> float:
        return self.value - 1.96 * self.error

    @property
    def high(self) -> float:
        return self.value + 1.96 * self.error


def estimate(metric: Callable[[Tensor, Tensor], float], x: Tensor, y: Tensor, *, groups: int = 10) -> Estimate:
    """The metric of x (N, …) and y (M, …), with its jackknife error. Raises ValueError for fewer rows than groups."""
    return jackknife(metric(x, y), [metric(*part) for part in subsets(x, y, groups=groups)])


def subsets(x: Tensor, y: Tensor, *, groups: int = 10) -> Iterator[tuple[Tensor, Tensor]]:
    """Both sides without their g-th group, for each g. The groups depend on the numbers of rows alone."""
    if min(len(x), len(y)) < 2 * groups:
        raise ValueError(f"{groups} groups need at least {2 * groups} examples on each side")
    # shuffled: rows that come class by class in turn must not leave a class at a time
    group_x, group_y = (Rng(0).fork("groups", k).uniform(len(s)).argsort() % groups for k, s in enumerate((x, y)))
    for g in range(groups):
        yield x[group_x != g], y[group_y != g]


def jackknife(value: float, left: Sequence[float]) -> Estimate:
    """A value and its error from the values without each group."""
    groups, mean = len(left), sum(left) / len(left)
    return Estimate(value, math.sqrt((groups - 1) / groups * sum((other - mean) ** 2 for other in left)))
