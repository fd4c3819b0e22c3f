"""The Fréchet distance between Gaussian fits to two clouds of features.

    d² = ‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x^{½} Σ_y Σ_x^{½})^{½})
With the features of the Inception network it is known as FID; with others it does not compare with published values.
It is biased upwards by about (sum of variances)/N, so it is only ever read beside a floor of the same sample sizes.
Reference: Dowson & Landau 1982, equation 4; Heusel et al. 2017, arXiv:1706.08500, equation 6.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """d² of features x (N, F) and y (M, F), in float64.

    Raises ValueError for fewer than two rows on a side, or different numbers of features.
    """
    x, y = pair(x, y)
    gap = x.mean(0) - y.mean(0)
    cov_x, cov_y = torch.atleast_2d(torch.cov(x.T)), torch.atleast_2d(torch.cov(y.T))
    root = _root(cov_x)
    cross = torch.linalg.eigvalsh(root @ cov_y @ root).clamp(min=0).sqrt().sum()
    return float(gap @ gap + cov_x.trace() + cov_y.trace() - 2 * cross)


def pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds as rows of float64 features."""
    x, y = x.reshape(len(x), -1).double().cpu(), y.reshape(len(y), -1).double().cpu()
    if min(len(x), len(y)) < 2:
        raise ValueError("a distance between two laws needs at least two examples of each")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"the two sides have {x.shape[1]} and {y.shape[1]} features")
    return x, y


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
