"""Categorical processes: states drawn anew, masked, moved to their neighbours, or sent by a matrix of the user's.

Reference: Austin et al. 2021, arXiv:2107.03006, appendix A.2 (D3PM).
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from reverie.core.tensors import Scalar
from reverie.processes.chain import Chain, CosineErasure, Erasure, Steady
from reverie.processes.resampling import Resampling


def _at_least_two(bins: int) -> None:
    if bins < 2:
        raise ValueError(f"bins must be at least 2, not {bins}")


@dataclass(frozen=True)
class Uniform(Resampling):
    """Elements are replaced, one by one and at random, by any of the levels with equal probability.

    Reference: Austin et al. 2021, appendix A.2.1; Hoogeboom et al. 2021, arXiv:2102.05379.
    """

    bins: int = 2
    erasure: Erasure = field(default_factory=CosineErasure)

    def __post_init__(self) -> None:
        _at_least_two(self.bins)

    def stationary(self) -> Tensor:
        return torch.full((self.bins,), 1 / self.bins, dtype=torch.float64)


@dataclass(frozen=True)
class Absorbing(Resampling):
    """Elements are masked, one by one and at random, and stay masked; the mask is one level above the highest.

    With kept = 1 − t the bound in the limit of many steps is ∫ Σ_masked −log p(x_0 | x_t)/t dt.
    Reference: Austin et al. 2021, appendix A.2.2; Sahoo et al. 2024, arXiv:2406.07524, equation 10.
    """

    bins: int = 2
    erasure: Erasure = field(default_factory=Steady)

    def __post_init__(self) -> None:
        _at_least_two(self.bins)

    @property
    def states(self) -> int:
        return self.bins + 1

    def stationary(self) -> Tensor:
        law = torch.zeros(self.states, dtype=torch.float64)
        law[-1] = 1.0
        return law


class Jumping(Chain, ABC):
    """A chain that jumps by a matrix P at random moments, θ(t) = jumps · t² times on average up to t.

        Q(t|s) = exp((θ_t − θ_s)(P − I)) = Σ_n Poisson(n; θ_t − θ_s) Pⁿ
    so that any stochastic matrix is a process for all times at once. The prior is P's stationary law: `jumps` must be
    large enough for the data to be forgotten (the bound's prior term says how well they are).
    """

    jumps: float

    @abstractmethod
    def step(self) -> Tensor:
        """P, (K, K) float64."""

    @final
    def stationary(self) -> Tensor:
        return _stationary(self)

    @final
    def push(self, weights: Tensor, s: Scalar, t: Scalar) -> Tensor:
        flat = weights.reshape(len(weights), -1, self.states)
        return (flat @ self._moved(s, t).to(weights)).reshape(weights.shape)

    @final
    def pull(self, xt: Tensor, s: Scalar, t: Scalar, like: Tensor) -> Tensor:
        columns = self._moved(s, t).to(like).mT
        row = torch.arange(len(xt), device=xt.device)[:, None] if columns.dim() == 3 else None
        flat = xt.reshape(len(xt), -1)
        picked = columns[flat] if row is None else columns[row, flat]
        return picked.reshape(*xt.shape, self.states)

    def _moved(self, s: Scalar, t: Scalar) -> Tensor:
        """Q(t|s), (K, K) for times that are numbers, else (B, K, K)."""
        if not isinstance(s, Tensor) and not isinstance(t, Tensor):
            return _power(self, self.jumps * (t * t - s * s))
        span = torch.as_tensor(self.jumps * (t * t - s * s), dtype=torch.float64)
        return _exponential((self.step() - torch.eye(self.states, dtype=torch.float64)) * span.reshape(-1, 1, 1))


def _exponential(rates: Tensor) -> Tensor:
    moved = torch.linalg.matrix_exp(rates).clamp(min=0)
    return moved / moved.sum(-1, keepdim=True)


@functools.lru_cache(maxsize=4096)
def _power(chain: Jumping, span: float) -> Tensor:
    return _exponential((chain.step() - torch.eye(chain.states, dtype=torch.float64)) * span)


@functools.lru_cache(maxsize=64)
def _stationary(chain: Jumping) -> Tensor:
    """π = π P: the solution of (Pᵀ − I) π = 0 with Σ π = 1, by least squares."""
    size = chain.states
    equations = torch.cat((chain.step().T - torch.eye(size, dtype=torch.float64), torch.ones(1, size).double()))
    right = torch.zeros(size + 1, dtype=torch.float64)
    right[-1] = 1.0
    law = torch.linalg.lstsq(equations, right[:, None]).solution[:, 0].clamp(min=0)
    return law / law.sum()


@dataclass(frozen=True)
class DiscretizedGaussian(Jumping):
    """Levels jump to others nearby, P[i, j] ∝ exp(−½ ((i − j)/width)²), symmetric: for ordered data such as pixels.

    Reference: Austin et al. 2021, appendix A.2.3 (the diagonal takes what the edges lack).
    """

    bins: int = 2
    width: float = 1.5
    jumps: float = 30.0

    def __post_init__(self) -> None:
        _at_least_two(self.bins)
        if not self.width > 0 or not self.jumps > 0:
            raise ValueError(f"width and jumps must be above 0, not {self.width} and {self.jumps}")

    def step(self) -> Tensor:
        k = torch.arange(self.bins, dtype=torch.float64)
        reach = torch.arange(1, self.bins, dtype=torch.float64)
        weights = torch.exp(-0.5 * ((k[:, None] - k) / self.width) ** 2).fill_diagonal_(0.0)
        weights = weights / (2 * torch.exp(-0.5 * (reach / self.width) ** 2).sum())
        return weights + torch.diag(1 - weights.sum(1))


@dataclass(frozen=True)
class Stochastic(Jumping):
    """Levels jump by the user's own matrix: K × K numbers row by row, rows summing to 1, with one stationary law.

    Raises ValueError for numbers that are no such matrix.
    """

    rows: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5)
    jumps: float = 30.0

    def __post_init__(self) -> None:
        size = round(len(self.rows) ** 0.5)
        if size * size != len(self.rows) or size < 2:
            raise ValueError(f"rows must be K × K numbers, not {len(self.rows)}")
        matrix = self._given()
        if bool((matrix < 0).any()) or bool(((matrix.sum(1) - 1).abs() > 1e-6).any()):
            raise ValueError("every row must be probabilities that sum to 1")
        if int((torch.linalg.eigvals(self.step()) - 1).abs().lt(1e-9).sum()) != 1:
            raise ValueError("the matrix has more than one stationary law: some states never reach others")
        if not self.jumps > 0:
            raise ValueError(f"jumps must be above 0, not {self.jumps}")

    @property
    def bins(self) -> int:  # type: ignore[override]
        return round(len(self.rows) ** 0.5)

    def step(self) -> Tensor:
        matrix = self._given()
        return matrix / matrix.sum(1, keepdim=True)

    def _given(self) -> Tensor:
        return torch.tensor(self.rows, dtype=torch.float64).reshape(self.bins, self.bins)
