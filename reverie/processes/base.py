"""What a diffusion model requires of its noising process: prior, transition, marginal, bridge, and reverse.

Time runs from 0 (data) to 1 (noise); s < t throughout. Everything else in the toolkit (training, ancestral
sampling, the ELBO) is written in terms of these five distributions and so holds for every process.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from reverie.core.distributions import Distribution
from reverie.core.tensors import Scalar


class Process(ABC):
    """A Markov process that destroys data, with everything its reversal needs in closed form."""

    @abstractmethod
    def prior(self, shape: tuple[int, ...]) -> Distribution:
        """p(x_1): where sampling starts, for a batch of shape (B, *D)."""

    @abstractmethod
    def transition(self, xs: Tensor, s: Scalar, t: Scalar) -> Distribution:
        """q(x_t | x_s), 0 ≤ s < t ≤ 1."""

    @abstractmethod
    def marginal(self, x0: Tensor, t: Scalar) -> Distribution:
        """q(x_t | x_0)."""

    @abstractmethod
    def bridge(self, x0: Tensor, xt: Tensor, s: Scalar, t: Scalar) -> Distribution:
        """q(x_s | x_0, x_t)."""

    @abstractmethod
    def reverse(self, posterior: Distribution, xt: Tensor, s: Scalar, t: Scalar) -> Distribution:
        """p(x_s | x_t) = E over x0 ~ posterior of the bridge, in the bridge's family."""

    def costs(self, times: Tensor) -> Tensor:
        """About what each step between these rising times (n + 1,) costs in the bound, (n,), up to a common factor.

        All alike, unless a process knows better: a bound may draw the steps that it computes by this.
        """
        return torch.ones(len(times) - 1, dtype=torch.float64)
