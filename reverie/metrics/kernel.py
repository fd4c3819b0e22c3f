"""The kernel distance: the squared maximum mean discrepancy under a cubic polynomial kernel, without bias.

    k(x, y) = (x·y/F + 1)³,   d² = E k(X, X′) + E k(Y, Y′) − 2 E k(X, Y), pairs of a point with itself left out
Zero in mean for equal laws, whatever the sample size.
Reference: Bińkowski et al. 2018, arXiv:1801.01401, section 3.
"""

from __future__ import annotations

from torch import Tensor

from reverie.metrics.pairs import Cloud, discrepancy


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """d² of features x (N, F) and y (M, F); can be slightly negative for two samples of one law."""
    return discrepancy(Cloud(x, cubic), Cloud(y, cubic)).value


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """The kernel (x·y/F + 1)³."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)
