"""Distances that are means over pairs, with their errors from one look at the pairs.

    d² = E k(X, X′) + E k(Y, Y′) − 2 E k(X, Y),   pairs of a point with itself left out
Unbiased, hence zero in mean for equal laws, and sometimes slightly negative. Sums of k over pairs of groups give the
distance without each group as well, so that the jackknife costs nothing more.
Reference: Gretton et al. 2012, "A kernel two-sample test", equation 3; Sejdinovic et al. 2013, arXiv:1207.6076.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from reverie.metrics.frechet import pair
from reverie.metrics.interval import Estimate, group_of, jackknife

Kernel = Callable[[Tensor, Tensor], Tensor]  # (N, F), (M, F) → (N, M)
ENTRIES = 1 << 24  # of the kernel's matrix held at once


class Cloud:
    """Rows (N, *D) under a kernel; sums over its own pairs are taken once, however often it is compared."""

    def __init__(self, rows: Tensor, kernel: Kernel, *, groups: int = 1) -> None:
        group = group_of(len(rows), groups)
        self.rows = rows.reshape(len(rows), -1).double().cpu()[group.argsort(stable=True)]
        self.sizes = group.bincount(minlength=groups)
        self.kernel = kernel

    @functools.cached_property
    def own(self) -> Tensor:
        """Sums of k over pairs of different rows, by their groups: (G, G)."""
        return self._sums(self, skip_self=True)

    def across(self, other: Cloud) -> Tensor:
        """Sums of k over pairs of a row and another cloud's row, by their groups: (G, G)."""
        return self._sums(other, skip_self=False)

    def _sums(self, other: Cloud, *, skip_self: bool) -> Tensor:
        found = torch.zeros(len(self.sizes), len(other.sizes), dtype=torch.float64)
        block, start = max(1, ENTRIES // len(other.rows)), 0
        for g, part in enumerate(self.rows.split(self.sizes.tolist())):
            for rows in part.split(block):
                values = self.kernel(rows, other.rows)
                if skip_self:
                    values.diagonal(start).zero_()
                found[g] += torch.stack([v.sum() for v in values.sum(0).split(other.sizes.tolist())])
                start += len(rows)
        return found


def discrepancy(x: Cloud, y: Cloud) -> Estimate:
    """d² of two clouds under one kernel, with its jackknife error where they have groups.

    Raises ValueError for fewer than two rows on a side, or different numbers of features.
    """
    pair(x.rows, y.rows)
    sums = (x.own, y.own, x.across(y))
    value = _distance(*(s.sum() for s in sums), n=x.sizes.sum(), m=y.sizes.sum())
    if len(x.sizes) == 1:
        return Estimate(float(value), float("nan"))
    without = [s.sum() - s.sum(0) - s.sum(1) + s.diagonal() for s in sums]
    left = _distance(*without, n=x.sizes.sum() - x.sizes, m=y.sizes.sum() - y.sizes)
    return jackknife(float(value), left.tolist())


def _distance(xx: Tensor, yy: Tensor, xy: Tensor, *, n: Tensor, m: Tensor) -> Tensor:
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
