"""The oracle for discrete data that are these examples, by Bayes' rule over all of them.

    p(x_0 = x_n | x_t) ∝ w_n Π_d Q(t|0)[x_n,d , x_t,d]
and from it the probability of every level of every element: the best that any network can state element by element.
An x_t that no example could have become (a model's own walk reaches such) is read as what is nearest to one.
Reference: Austin et al. 2021, arXiv:2107.03006, section 3 (the x_0-parametrisation).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.discrete import Categorical, state
from reverie.core.tensors import Scalar
from reverie.denoisers.base import Denoiser
from reverie.processes import Chain


class FiniteData(Denoiser):
    """The exact posterior, element by element, when the data are examples (N, *D) with weights (N,), equal if None."""

    process: Chain

    def __init__(self, process: Chain, points: Tensor, weights: Tensor | None = None) -> None:
        super().__init__()
        self.process = process
        self.register_buffer("points", points)
        self.register_buffer("weights", torch.ones(len(points)) if weights is None else weights)
        self.points: Tensor
        self.weights: Tensor

    def forward(self, xt: Tensor, t: Scalar) -> Categorical:
        chosen = self.choice(xt, t).to(xt.dtype)
        flat = F.one_hot(state(self.points, self.process.bins), self.process.states).to(xt.dtype).flatten(1)
        believed = (chosen @ flat).reshape(*xt.shape, self.process.states)
        return Categorical(self._within_reach(believed, xt, t), self.process.bins)

    def _within_reach(self, believed: Tensor, xt: Tensor, t: Scalar) -> Tensor:
        """The belief held to levels that could have become x_t; where it leaves none of them, all of them equally."""
        possible = self.process.possible(xt, t).to(believed)
        held = believed * possible
        rest = torch.where(held.sum(-1, keepdim=True) > 0, held, possible)
        total = rest.sum(-1, keepdim=True)
        return torch.where(total > 0, rest / total.clamp(min=1e-38), believed)

    def choice(self, xt: Tensor, t: Scalar) -> Tensor:
        """p(x_0 = x_n | x_t), (B, N) float64; where no example could, those that most elements allow."""
        like = torch.zeros((), dtype=torch.float64, device=xt.device)
        arrival = self.process.pull(state(xt, self.process.bins), 0.0, t, like).log().clamp(min=-1e4)
        seen = F.one_hot(state(self.points, self.process.bins), self.process.states).double().flatten(1)
        return (arrival.flatten(1) @ seen.T + self.weights.double().log()).softmax(1)
