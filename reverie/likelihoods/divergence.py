"""The trace of ∂x̂_0/∂x_t: exactly, or by random probes.

    tr J = Σ_d e_dᵀ J e_d = E[zᵀ J z]  for any z with E[z zᵀ] = I
Signs ±1 have the least variance of such z with independent entries (2 Σ_{i≠j} J_ij² for symmetric J, nothing on the
diagonal). References: Hutchinson 1989; Grathwohl et al. 2019, arXiv:1810.01367, section 3.1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser

_AT_ONCE = 1 << 22  # numbers in one backward pass over several probes


class Divergence(ABC):
    """A way to the trace. `probes` is how many estimates it makes, 0 for the exact one."""

    probes: int

    @abstractmethod
    def draw(self, x0: Tensor, rng: Rng) -> Tensor:
        """The vectors z to be used along a whole path, (P, B, *D)."""

    @abstractmethod
    def gather(self, quadratic: Tensor) -> Tensor:
        """From zᵀ J z for each vector (P, B) to the estimates (B, max(1, probes))."""

    @final
    def trace(self, denoiser: Denoiser, xt: Tensor, t: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """x̂_0 (B, *D) and the estimates of tr ∂x̂_0/∂x_t, (B, max(1, probes)) float64."""
        with torch.enable_grad():
            x = xt.detach().requires_grad_()
            x0_hat = denoiser(x, t).mean
            parts = []
            for some in vectors.split(max(1, _AT_ONCE // max(1, x.numel()))):
                (product,) = torch.autograd.grad(x0_hat, x, some, retain_graph=True, is_grads_batched=True)
                parts.append((product * some).flatten(2).to(torch.float64).sum(2))
        return x0_hat.detach(), self.gather(torch.cat(parts))


@dataclass(frozen=True)
class Exact(Divergence):
    """One backward pass per dimension: for points, tables and small images."""

    probes = 0

    def draw(self, x0: Tensor, rng: Rng) -> Tensor:
        dimensions = x0[0].numel()
        basis = torch.eye(dimensions, dtype=x0.dtype, device=x0.device).reshape(dimensions, 1, *x0.shape[1:])
        return basis.expand(dimensions, *x0.shape)

    def gather(self, quadratic: Tensor) -> Tensor:
        return quadratic.sum(0)[:, None]


@dataclass(frozen=True)
class Hutchinson(Divergence):
    """Random signs, or normal numbers (`normal`); two probes or more give a standard error."""

    probes: int = 2
    normal: bool = False

    def __post_init__(self) -> None:
        if self.probes < 1:
            raise ValueError(f"probes must be at least 1, not {self.probes}")

    def draw(self, x0: Tensor, rng: Rng) -> Tensor:
        streams = [rng.fork(k) for k in range(self.probes)]
        return torch.stack([s.normal(x0) if self.normal else s.rademacher(x0) for s in streams])

    def gather(self, quadratic: Tensor) -> Tensor:
        return quadratic.T
