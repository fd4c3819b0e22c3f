"""The energy distance between two clouds of points: zero exactly when they follow the same law.

    E² = 2 E|X − Y| − E|X − X′| − E|Y − Y′|
Reference: Székely & Rizzo 2013, "Energy statistics", equation 2.1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def energy_distance(x: Tensor, y: Tensor, *, block: int = 2048) -> float:
    """E² of samples x (N, *D) and y (M, *D), without bias: pairs of a point with itself are left out.

    Being unbiased it can be slightly negative for two samples of one law. In the units of the data.
    Raises ValueError for fewer than two points on a side.

    >>> energy_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[3.0], [3.0]]))
    6.0
    """
    x, y = x.reshape(len(x), -1).double(), y.reshape(len(y), -1).double()
    if min(len(x), len(y)) < 2:
        raise ValueError("the energy distance needs at least two points on each side")

    def total(a: Tensor, b: Tensor) -> float:
        return sum(float(torch.cdist(part, b).sum()) for part in a.split(block))

    n, m = len(x), len(y)
    return 2 * total(x, y) / (n * m) - total(x, x) / (n * (n - 1)) - total(y, y) / (m * (m - 1))
