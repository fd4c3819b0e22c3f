"""Bits that flip towards a coin: the binomial process.

    q(x_t = 1 | x_s) = k x_s + (1 − k) p,   k = kept(t)/kept(s),   for bits written 0 and 1
The prior is the coin, P(1) = p. Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, table 2 and section 3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from reverie.processes.chain import Erasure, Steady
from reverie.processes.resampling import Resampling


@dataclass(frozen=True)
class Binomial(Resampling):
    """Bits (−1 and 1) are replaced, one by one and at random, by tosses of a coin with P(1) = `prior_one`."""

    prior_one: float = 0.5
    erasure: Erasure = field(default_factory=Steady)

    def __post_init__(self) -> None:
        if not 0 < self.prior_one < 1:
            raise ValueError(f"prior_one must be between 0 and 1, not {self.prior_one}")

    @property
    def bins(self) -> int:  # type: ignore[override]
        return 2

    def stationary(self) -> Tensor:
        return torch.tensor([1 - self.prior_one, self.prior_one], dtype=torch.float64)
