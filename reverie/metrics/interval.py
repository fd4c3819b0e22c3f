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

GROUPS = 10


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error; `low` and `high` enclose the truth 95 times of 100, bias apart.

    `left` are the values without each group, where the error was found by leaving groups out.
    """

    value: float
    error: float
    left: tuple[float, ...] = ()

    @property
    def low(self) -> float:
        return self.value - 1.96 * self.error

    @property
    def high(self) -> float:
        return self.value + 1.96 * self.error

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two estimates of the same groups: noise that is common to both cancels in its error."""
        return jackknife(self.value - other.value, [a - b for a, b in zip(self.left, other.left, strict=True)])


def estimate(metric: Callable[[Tensor, Tensor], float], x: Tensor, y: Tensor, *, groups: int = GROUPS) -> Estimate:
    """The metric of x (N, …) and y (M, …), with its jackknife error. Raises ValueError for fewer rows than groups."""
    return jackknife(metric(x, y), [metric(*part) for part in subsets(x, y, groups=groups)])


def subsets(x: Tensor, y: Tensor, *, groups: int = GROUPS) -> Iterator[tuple[Tensor, Tensor]]:
    """Both sides without their g-th group, for each g. The groups depend on the numbers of rows alone."""
    group_x, group_y = (group_of(len(side), groups) for side in (x, y))
    for g in range(groups):
        yield x[group_x != g], y[group_y != g]


def group_of(count: int, groups: int) -> Tensor:
    """The group of each of `count` rows (count,), shuffled: rows that come class by class must not leave together.

    Raises ValueError for fewer than two rows a group.
    """
    if groups > 1 and count < 2 * groups:
        raise ValueError(f"{groups} groups need at least {2 * groups} examples on each side")
    return Rng(0).fork("groups").uniform(count).argsort() % groups


def jackknife(value: float, left: Sequence[float]) -> Estimate:
    """A value and its error from the values without each group."""
    groups, mean = len(left), sum(left) / len(left)
    return Estimate(value, math.sqrt((groups - 1) / groups * sum((other - mean) ** 2 for other in left)), tuple(left))
