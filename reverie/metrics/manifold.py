"""Quality and diversity apart: is each sample near real data, and is each real datum near samples?

With B_k(y) the ball around y that reaches its k-th nearest neighbour on its own side,
    precision = P[x in some B_k(y)]        recall   = P[y in some B_k(x)]
    density   = E #{y : x in B_k(y)}/k     coverage = P[some x in B_k(y)]
Precision and recall are fooled by outliers, whose balls are large; density and coverage are not.
Reference: Kynkäänniemi et al. 2019, arXiv:1904.06991, equation 1; Naeem et al. 2020, arXiv:2002.09797, equations 1, 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.metrics.frechet import pair


@dataclass(frozen=True)
class Manifold:
    """Shares in [0, 1], but for density, which is 1 in mean for equal laws and may exceed it."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(samples: Tensor, real: Tensor, *, neighbours: int = 5, block: int = 2048) -> Manifold:
    """The four numbers for features of samples (N, F) and of real data (M, F).

    Raises ValueError where a side has no more than `neighbours` rows.
    """
    x, y = pair(samples, real)
    if min(len(x), len(y)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more than {neighbours} examples on each side")
    radius_x, radius_y = _radius(x, neighbours, block), _radius(y, neighbours, block)
    precise, recalled, inside, covered = 0, torch.zeros(len(y), dtype=torch.bool), 0, torch.full((len(y),), torch.inf)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        distance = torch.cdist(x[part], y)
        within = distance <= radius_y
        precise += int(within.any(1).sum())
        inside += int(within.sum())
        recalled |= (distance <= radius_x[part, None]).any(0)
        covered = torch.minimum(covered, distance.amin(0).float())
    return Manifold(
        precision=precise / len(x),
        recall=float(recalled.double().mean()),
        density=inside / (neighbours * len(x)),
        coverage=float((covered <= radius_y).double().mean()),
    )


def _radius(x: Tensor, neighbours: int, block: int) -> Tensor:
    """The distance from each row to its k-th nearest other one, (N,)."""
    return torch.cat([torch.cdist(part, x).kthvalue(neighbours + 1, dim=1).values for part in x.split(block)])
