"""Processes on finitely many states: every element walks on its own through a Markov chain.

Write Q(t|s)[i, j] = q(x_t = j | x_s = i) for the transition matrix of one element, rows summing to 1. Then
    q(x_t | x_s)      = row x_s of Q(t|s)
    q(x_s | x_0, x_t) ∝ Q(s|0)[x_0, x_s] Q(t|s)[x_s, x_t]                                    (Bayes)
    p(x_s | x_t)      ∝ (Σ_i w_i Q(s|0)[i, x_s]) Q(t|s)[x_s, x_t],   w_i = p(x_0 = i | x_t)/Q(t|0)[i, x_t]
the last being E over x_0 ~ p(x_0 | x_t) of the bridge, element by element: given x_t the elements of x_s are
independent in the model, which is exact as the steps become small.
References: Austin et al. 2021, arXiv:2107.03006, equations 2–4; Sohl-Dickstein et al. 2015, arXiv:1503.03585, table 2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.discrete import Categorical, state
from reverie.core.distributions import Distribution
from reverie.core.tensors import Scalar, sin
from reverie.processes.base import Process


class Chain(Process, ABC):
    """A chain on `bins` levels of data, and perhaps states beyond them; x holds levels (`reverie.core.discrete`).

    An entry states what is left of noise at t = 1 and how rows and columns of its matrix act on probabilities.
    """

    bins: int

    @property
    def states(self) -> int:
        """K: the data's levels and the process's own states."""
        return self.bins

    @abstractmethod
    def stationary(self) -> Tensor:
        """p(x_1) of one element, (K,) float64."""

    @abstractmethod
    def push(self, weights: Tensor, s: Scalar, t: Scalar) -> Tensor:
        """weights @ Q(t|s): what becomes at t of probabilities (B, *D, K) at s."""

    @abstractmethod
    def pull(self, xt: Tensor, s: Scalar, t: Scalar, like: Tensor) -> Tensor:
        """Q(t|s)[:, x_t] for states xt (B, *D): how likely each state at s leads there, (B, *D, K)."""

    @final
    def matrix(self, s: float, t: float) -> Tensor:
        """Q(t|s), (K, K) float64."""
        return self.push(torch.eye(self.states, dtype=torch.float64)[None], s, t)[0]

    @final
    def prior(self, shape: tuple[int, ...]) -> Categorical:
        """p(x_1): the stationary law in every element."""
        return Categorical(self.stationary().expand(*shape, self.states), self.bins)

    @final
    def transition(self, xs: Tensor, s: Scalar, t: Scalar) -> Categorical:
        """q(x_t | x_s) = Q(t|s)[x_s, :]."""
        return Categorical(self.push(self._one_hot(xs), s, t), self.bins)

    @final
    def marginal(self, x0: Tensor, t: Scalar) -> Categorical:
        """q(x_t | x_0) = Q(t|0)[x_0, :]."""
        return self.transition(x0, 0.0, t)

    @final
    def bridge(self, x0: Tensor, xt: Tensor, s: Scalar, t: Scalar) -> Categorical:
        """q(x_s | x_0, x_t) = Q(s|0)[x_0, x_s] Q(t|s)[x_s, x_t]/Q(t|0)[x_0, x_t]."""
        return self._between(self._one_hot(x0), xt, s, t)

    @final
    def reverse(self, posterior: Distribution, xt: Tensor, s: Scalar, t: Scalar) -> Categorical:
        """p(x_s | x_t) = Σ_i p(x_0 = i | x_t) q(x_s | x_0 = i, x_t); an x_0 that cannot become x_t counts nothing."""
        if not isinstance(posterior, Categorical):
            raise ValueError(f"{type(self).__name__} needs a posterior over states, not {type(posterior).__name__}")
        index = state(xt, self.bins)
        arrival = self.pull(index, 0.0, t, posterior.probs)
        weights = torch.where(arrival > 0, posterior.probs / arrival.clamp(min=1e-38), torch.zeros_like(arrival))
        return self._between(weights, xt, s, t)

    @final
    def possible(self, xt: Tensor, t: Scalar) -> Tensor:
        """Which of the data's levels could have become x_t, (B, *D, K) bool; states of the process's own are none."""
        arrival = self.pull(state(xt, self.bins), 0.0, t, torch.zeros((), dtype=torch.float64, device=xt.device))
        return (arrival > 0) & (torch.arange(self.states, device=xt.device) < self.bins)

    @final
    def _between(self, weights: Tensor, xt: Tensor, s: Scalar, t: Scalar) -> Categorical:
        joint = self.push(weights, 0.0, s) * self.pull(state(xt, self.bins), s, t, weights)
        return Categorical(joint / joint.sum(-1, keepdim=True), self.bins)

    @final
    def _one_hot(self, x: Tensor) -> Tensor:
        dtype = x.dtype if x.is_floating_point() else torch.float64
        return F.one_hot(state(x, self.bins), self.states).to(dtype)


class Erasure(ABC):
    """How much is left: kept(t), the probability that an element was never touched up to t; kept(0) = 1."""

    @abstractmethod
    def kept(self, t: Scalar) -> Scalar:
        """Falls strictly from 1 at t = 0, to 0 at t = 1."""

    @final
    def between(self, s: Scalar, t: Scalar) -> Scalar:
        """The probability that it is not touched from s to t either: kept(t)/kept(s)."""
        return self.kept(t) / self.kept(s)


@dataclass(frozen=True)
class Steady(Erasure):
    """The same share of the information is erased in every step: kept = 1 − t, that is β_i = 1/(T − i + 1).

    Reference: Sohl-Dickstein et al. 2015, appendix B.2 (binomial); Austin et al. 2021, section 3.3 (absorbing).
    """

    def kept(self, t: Scalar) -> Scalar:
        return 1.0 - t


@dataclass(frozen=True)
class CosineErasure(Erasure):
    """kept = cos²(πt/2): slow at first. Reference: Hoogeboom et al. 2021, arXiv:2102.05379, section 5."""

    def kept(self, t: Scalar) -> Scalar:
        half = sin(0.5 * math.pi * (1 - t))  # exactly 0 at t = 1
        return half * half
