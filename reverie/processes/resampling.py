"""Chains that keep a state or draw a new one: Q(t|s) = k I + (1 − k) 1 πᵀ with k = kept(t)/kept(s).

Products of such matrices are such matrices, with k multiplied, so that every step costs O(K) and not O(K²).
Binomial (π a coin), uniform (π flat) and absorbing (π a mask) diffusion differ in π alone.
Reference: Austin et al. 2021, arXiv:2107.03006, appendix A.2.
"""

from __future__ import annotations

from abc import ABC
from typing import final

import torch
from torch import Tensor

from reverie.core.tensors import Scalar, expand
from reverie.processes.chain import Chain, Erasure


class Resampling(Chain, ABC):
    """An element keeps its state with probability k, or is drawn anew from the stationary law π."""

    erasure: Erasure

    @final
    def push(self, weights: Tensor, s: Scalar, t: Scalar) -> Tensor:
        """w Q = k w + (1 − k) (Σ w) π."""
        keep = expand(self.erasure.between(s, t), weights)
        return keep * weights + (1 - keep) * weights.sum(-1, keepdim=True) * self.stationary().to(weights)

    @final
    def pull(self, xt: Tensor, s: Scalar, t: Scalar, like: Tensor) -> Tensor:
        """Q[i, x_t] = k [i = x_t] + (1 − k) π[x_t]."""
        fresh = self.stationary().to(like)[xt][..., None]
        same = (xt[..., None] == torch.arange(self.states, device=xt.device)).to(like.dtype)
        keep = expand(self.erasure.between(s, t), same)
        return keep * same + (1 - keep) * fresh
