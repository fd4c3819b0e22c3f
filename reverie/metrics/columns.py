"""Tables and vectors column by column: does each marginal fit, and do the correlations?

KS_j = sup_v |F_x(v) − F_y(v)| of column j,   Δρ = max_{j<k} |ρ_jk(x) − ρ_jk(y)|
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.metrics.frechet import pair


@dataclass(frozen=True)
class Columns:
    """Kolmogorov–Smirnov distances (one per column) and the largest difference of two correlations."""

    marginals: tuple[float, ...]
    correlation: float


def columns(x: Tensor, y: Tensor) -> Columns:
    """The comparison of x (N, D) with y (M, D); constant columns have no correlation and count as 0."""
    x, y = pair(x, y)
    marginals = []
    for a, b in zip(x.T.contiguous(), y.T.contiguous(), strict=True):
        both = torch.cat((a, b)).unique()
        shares = [torch.searchsorted(side.sort().values, both, right=True) / len(side) for side in (a, b)]
        marginals.append(float((shares[0] - shares[1]).abs().max()))
    rho = [torch.atleast_2d(torch.corrcoef(side.T)).nan_to_num(0.0) for side in (x, y)]
    return Columns(tuple(marginals), float((rho[0] - rho[1]).abs().triu(1).max()))


def chance(n: int, m: int, *, level: float = 0.001) -> float:
    """The distance KS that n and m values of one law exceed with probability `level`, in Smirnov's limit (1939):

    √(−½ ln(level/2) (1/n + 1/m)); for values with ties, at most with that probability.
    """
    return math.sqrt(-0.5 * math.log(level / 2) * (1 / n + 1 / m))
