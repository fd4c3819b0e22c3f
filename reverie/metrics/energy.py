"""The energy distance between two clouds of points: zero exactly when they follow the same law.

    E² = 2 E|X − Y| − E|X − X′| − E|Y − Y′|
Reference: Székely & Rizzo 2013, "Energy statistics", equation 2.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.metrics.pairs import Cloud, discrepancy


def energy_distance(x: Tensor, y: Tensor) -> float:
    """E² of samples x (N, *D) and y (M, *D), without bias: pairs of a point with itself are left out.

    Being unbiased it can be slightly negative for two samples of one law. In the units of the data.
    Raises ValueError for fewer than two points on a side.

    >>> energy_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[3.0], [3.0]]))
    6.0
    """
    return discrepancy(Cloud(x, nearness), Cloud(y, nearness)).value


def nearness(x: Tensor, y: Tensor) -> Tensor:
    """The kernel −|x − y|."""
    return torch.cdist(x, y).neg_()
