"""A network as a denoiser of states: look tokens up, let the network mix them, read a probability for every level.

    p(x_0,d = k | x_t) ∝ exp(⟨w_k, net(E[x_t], c_noise)_d⟩ + b_k) Q(t|0)[k, x_t,d]
Each element's state is replaced by a learned vector of `width` numbers, stacked as channels, so that any network serves
(an MLP for rows, a U-Net for sequences and pictures). The second factor is what x_t,d itself says of x_0,d by Bayes'
rule; the network has to learn only what the other elements say. It forbids an x_0 that could not have become x_t.
Reference: Austin et al. 2021, arXiv:2107.03006, section 3; Sahoo et al. 2024, arXiv:2406.07524, section 3.2.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.discrete import Categorical, state
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, batch
from reverie.denoisers.base import Condition
from reverie.denoisers.network import Learned
from reverie.processes import Chain


class Table(nn.Embedding):
    """A learned row of numbers for each state; drawn again by whoever initialises the network it belongs to."""

    gain, offset = 1.0, 0.0

    def reset_parameters(self) -> None:
        self.weight.data = Rng(0).fork("table").normal(torch.empty(1, *self.weight.shape))[0]


class Head(nn.Linear):
    """Scores of every level from a vector."""

    gain, offset = 1.0, 0.0

    def reset_parameters(self) -> None:
        drawn = Rng(0).fork("head").normal(torch.empty(1, *self.weight.shape))[0]
        self.weight.data, self.bias.data = drawn / math.sqrt(self.in_features), torch.zeros(self.out_features)


class TokenDenoiser(Learned):
    """The posterior that a network states, element by element, over the levels of a process on finitely many states."""

    process: Chain

    def __init__(self, process: Chain, network: nn.Module, *, width: int = 16) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.process, self.network, self.width = process, network, width
        self.table, self.head = Table(process.states, width), Head(width, process.bins)
        self.condition = Condition()

    @classmethod
    def asks(cls, shape: tuple[int, ...], options: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
        """`width` channels for each of the data's, in and out."""
        return (shape[0] * int(options.get("width", 16)), *shape[1:]), 1

    def forward(self, xt: Tensor, t: Scalar) -> Categorical:
        index = state(xt, self.process.bins)
        tokens = self.table(index).movedim(-1, 2).flatten(1, 2)
        noise = torch.logit(batch(t, xt), eps=1e-9).div(2).clamp(-5, 5).to(tokens)
        out = self.network(tokens, noise, *self.bound(xt))
        scores = self.head(out.unflatten(1, (xt.shape[1], self.width)).movedim(2, -1))
        return Categorical.of_logits(self._read(scores, index, t).to(xt.dtype), self.process.bins)

    def _read(self, scores: Tensor, index: Tensor, t: Scalar) -> Tensor:
        """Scores of the data's levels + log Q(t|0)[·, x_t]; −∞ for the process's own states."""
        like = torch.zeros((), dtype=torch.float64, device=index.device)
        own = self.process.pull(index, 0.0, t, like).log().to(scores)
        seen = scores + own[..., : self.process.bins]
        return torch.cat((seen, torch.full_like(own[..., self.process.bins :], -torch.inf)), -1)
