"""Normals that are independent in the cosine basis: one mean and one standard deviation for every frequency.

The orthonormal type-II transform on each axis of space (on the only axis of a vector) is
    u_k = √((2 − [k = 0])/n) Σ_x cos(π k (x + ½)/n) x_x
whose basis are the eigenvectors of the heat equation on n pixels with insulated ends, with eigenvalues (π k/n)².
An orthonormal change of coordinates leaves densities and divergences alone.
Reference: Strang 1999, "The discrete cosine transform"; Rissanen et al. 2023, arXiv:2206.13397, section 3.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from reverie.core.distributions import Distribution, Normal
from reverie.core.rng import Rng


@functools.lru_cache(maxsize=64)
def basis(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The transform's matrix, rows are cosines: (size, size), orthogonal."""
    k = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi * k[:, None] * (k + 0.5) / size) * math.sqrt(2 / size)
    rows[0] *= math.sqrt(0.5)
    return rows.to(device, dtype)


def axes(x: Tensor) -> range:
    """The axes of space of x (B, C, *space), or the one axis of x (B, D)."""
    return range(2, x.dim()) if x.dim() > 2 else range(1, 2)


def to_frequencies(x: Tensor) -> Tensor:
    """Values → coefficients, the same shape."""
    return _along_axes(x, inverse=False)


def to_values(u: Tensor) -> Tensor:
    """Coefficients → values.

    >>> x = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    >>> bool((to_values(to_frequencies(x)) - x).abs().max() < 1e-12)
    True
    """
    return _along_axes(u, inverse=True)


def _along_axes(x: Tensor, *, inverse: bool) -> Tensor:
    for axis in axes(x):
        matrix = basis(x.shape[axis], x.dtype, x.device)
        x = (x.movedim(axis, -1) @ (matrix if inverse else matrix.T)).movedim(-1, axis)
    return x


def eigenvalues(x: Tensor) -> Tensor:
    """λ = Σ_axes (π k/n)² for every coefficient of x, per pixel², broadcastable to x."""
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for axis in axes(x):
        n = x.shape[axis]
        along = (math.pi * torch.arange(n, dtype=x.dtype, device=x.device) / n) ** 2
        total = total + along.reshape(-1, *(1,) * (x.dim() - 1 - axis))
    return total


class Spectral(Distribution):
    """x = V u with u_k ~ N(mean_k, std_k²): `law` holds mean and std of the coefficients, std broadcastable."""

    def __init__(self, law: Normal) -> None:
        self.law = law

    @functools.cached_property
    def mean(self) -> Tensor:  # type: ignore[override]
        return to_values(self.law.mean)

    @functools.cached_property
    def std(self) -> Tensor:  # type: ignore[override]
        """Of every value: √(Σ_k V²_xk std_k²)."""
        square = torch.as_tensor(self.law.std).to(self.law.mean) ** 2
        square = square.expand(torch.broadcast_shapes(square.shape, self.law.mean.shape))
        for axis in axes(square):
            matrix = basis(square.shape[axis], square.dtype, square.device)
            square = (square.movedim(axis, -1) @ matrix**2).movedim(-1, axis)
        return square.sqrt()

    def to(self, like: Tensor) -> Spectral:
        moved = self.law.to(like)
        assert isinstance(moved, Normal)
        return Spectral(moved)

    def sample(self, rng: Rng) -> Tensor:
        return to_values(self.law.sample(rng))

    def settle(self, rng: Rng) -> Tensor:
        return self.mean

    def log_prob(self, x: Tensor) -> Tensor:
        return self.law.log_prob(to_frequencies(x))

    def kl(self, other: Distribution) -> Tensor:
        return self.law.kl(other.law) if isinstance(other, Spectral) else super().kl(other)
