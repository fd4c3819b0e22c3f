"""The binary heartbeat of the 2015 paper: its process, its network, its bound.

20 bits, a one in every fifth, five phases: the truth is log₂ 5 = 2.3219 bits a sequence. T = 2000 steps with
β_i = 1/(T − i + 1) towards a coin with P(1) = 0.2; a network 20 → 50 → 50 → 50 of sigmoids shared by all steps, and a
linear read-out for each step. Read-outs are read between `knots` that are learnt (a straight line between neighbours):
2,000 separate ones would each see a two-thousandth of the examples. The network states log-odds of x_0, to which the
bit's own evidence is added by Bayes' rule; the reverse Bernoulli of a step follows from the process.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 3.1.2 and appendix D.1.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.discrete import Categorical, level, state
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, batch
from reverie.data.discrete import LENGTH, PERIOD
from reverie.denoisers import Denoiser
from reverie.networks.layers import Linear
from reverie.networks.weights import initialise
from reverie.processes import Binomial

STEPS = 2000
COIN = 0.2


class Readouts(nn.Module):
    """A linear layer for every t: weights and biases are straight lines between those at `knots` + 1 times."""

    def __init__(self, inputs: int, outputs: int, knots: int) -> None:
        super().__init__()
        self.knots = knots
        self.weight = nn.Parameter(torch.zeros(inputs, knots + 1, outputs))
        self.bias = nn.Parameter(torch.zeros(knots + 1, outputs))

    def begin(self) -> None:
        """All start silent."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, h: Tensor, t: Tensor) -> Tensor:
        """h (B, inputs), t (B,) in [0, 1] → (B, outputs)."""
        place = (t * self.knots).clamp(0, self.knots - 1e-6)
        low, row = place.floor().long(), torch.arange(len(h))
        each = torch.tensordot(h, self.weight, 1) + self.bias  # at all knots at once: two of them are used
        return torch.lerp(each[row, low], each[row, low + 1], (place - low).to(h)[:, None])


class BitNetwork(Denoiser):
    """p(x_0,d = 1 | x_t) = sigmoid(read-out_t(h(x_t))_d + log Q(t|0)[1, x_t,d]/Q(t|0)[0, x_t,d])."""

    process: Binomial

    def __init__(self, process: Binomial, *, bits: int = LENGTH, width: int = 50, knots: int = 40) -> None:
        super().__init__()
        self.process = process
        sizes = (bits, width, width, width)
        self.layers = nn.ModuleList(Linear(a, b, gain=2.0, offset=1.0) for a, b in itertools.pairwise(sizes))
        self.readouts = Readouts(width, bits, knots)
        initialise(self, 0)

    def forward(self, xt: Tensor, t: Scalar) -> Categorical:
        h, times = xt.float(), batch(t, xt)
        for layer in self.layers:
            h = 2 * torch.sigmoid(layer(h)) - 1  # centred: the same functions, easier to learn
        score = self.readouts(h, times)
        like = torch.zeros((), dtype=torch.float64)
        evidence = self.process.pull(state(xt, 2), 0.0, t, like).log()
        logits = (score + (evidence[..., 1] - evidence[..., 0])).to(xt.dtype)
        log_probs = torch.stack((F.logsigmoid(-logits), F.logsigmoid(logits)), -1)
        return Categorical(log_probs.exp(), 2, log_probs)


def process() -> Binomial:
    """The paper's: 2,000 steps come with the bound, not with the process."""
    return Binomial(prior_one=COIN)


def sequences(dtype: torch.dtype = torch.float64) -> Tensor:
    """The five possible sequences, levels (5, 20)."""
    phase = torch.arange(PERIOD)[:, None]
    return level(((torch.arange(LENGTH)[None] - phase) % PERIOD == 0).long(), 2, torch.empty(0, dtype=dtype))


def batch_of(count: int, rng: Rng) -> Tensor:
    """Sequences at random, (count, 20) float32."""
    return sequences(torch.float32)[rng.integers(count, PERIOD)]


TRUTH = -math.log2(PERIOD)
NULL = LENGTH * (COIN * math.log2(COIN) + (1 - COIN) * math.log2(1 - COIN))  # −20 H₂(0.2), bits
