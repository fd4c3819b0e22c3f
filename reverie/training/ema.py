"""The average of the weights that is used for sampling.

A power-function average: θ̂_n = (1 − w_n) θ̂_{n−1} + w_n θ_n with w_n = 1 − (1 − 1/n)^{γ+1}, whose profile over the run
so far is (i/n)^γ. Its width is a fixed share of the run, so that it is neither cold at the start nor short at the end.
Reference: Karras et al. 2024, arXiv:2312.02696, section 3.1, equations 120–123.
"""

from __future__ import annotations

import copy
import functools
from typing import Generic, TypeVar

import torch
from torch import nn

Averaged = TypeVar("Averaged", bound=nn.Module)


@functools.cache
def exponent(width: float) -> float:
    """γ for which the profile's relative standard deviation √((γ+1)/((γ+2)²(γ+3))) equals `width`, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        wider = ((middle + 1) / ((middle + 2) ** 2 * (middle + 3))) ** 0.5 > width
        low, high = (middle, high) if wider else (low, middle)
    return (low + high) / 2


class Average(Generic[Averaged]):
    """A copy of a module whose parameters are the running average of the original's; `width` 0 follows them exactly.

    The copy is a module of its own (`module`), so that nothing is swapped in place for sampling or saving.
    """

    def __init__(self, module: Averaged, width: float) -> None:
        if not 0 <= width < 0.28:
            raise ValueError(f"ema must be at least 0 and below 0.28 of the run, not {width}")
        self.width = width
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._source = [p.detach() for p in module.parameters()]
        self._tensors = [p.data for p in self.module.parameters()]

    def weight(self, step: int) -> float:
        """w_n, the share of the new weights after update n ≥ 1."""
        return 1.0 if not self.width else 1 - (1 - 1 / step) ** (exponent(self.width) + 1)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update `step` (1, 2, …)."""
        torch._foreach_lerp_(self._tensors, self._source, self.weight(step))
