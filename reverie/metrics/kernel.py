"""The kernel distance: the squared maximum mean discrepancy under a cubic polynomial kernel, without bias.

    k(x, y) = (x·y/F + 1)³,   d² = E k(X, X′) + E k(Y, Y′) − 2 E k(X, Y), pairs of a point with itself left out
Zero in mean for equal laws, whatever the sample size.
Reference: Bińkowski et al. 2018, arXiv:1801.01401, section 3.
"""

from __future__ import annotations

from torch import Tensor

from reverie.metrics.frechet import pair


def kernel_distance(x: Tensor, y: Tensor, *, block: int = 2048) -> float:
    """d² of features x (N, F) and y (M, F); can be slightly negative for two samples of one law."""
    x, y = pair(x, y)
    features = x.shape[1]

    def total(a: Tensor, b: Tensor) -> float:
        return sum(float(((part @ b.T / features + 1) ** 3).sum()) for part in a.split(block))

    def own(a: Tensor) -> float:
        diagonal = float(((a.square().sum(1) / features + 1) ** 3).sum())
        return (total(a, a) - diagonal) / (len(a) * (len(a) - 1))

    return own(x) + own(y) - 2 * total(x, y) / (len(x) * len(y))
