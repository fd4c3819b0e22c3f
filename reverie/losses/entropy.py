"""The bound and the cross-entropy of x_0, for every process whose posterior is a law over states.

    L = `bound` · T L_i − `auxiliary` · log p(x_0 | x_t),      L_i a term of the bound (`bound_term`), i = tT
in bits per dimension. With bound 1, auxiliary 0 it is the bound itself (without the prior term, which no weight
changes); bound 0, auxiliary 1 is the plain cross-entropy, whose best denoiser is the same.
Reference: Austin et al. 2021, arXiv:2107.03006, equation 5 (bound 1, auxiliary 0.001 to 0.01).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.core.units import bits_per_dim
from reverie.denoisers import Denoiser
from reverie.denoisers.decoder import Posterior
from reverie.losses.base import TimedLoss
from reverie.losses.elbo import bound_term
from reverie.losses.times import Discrete, Times


@dataclass(frozen=True)
class CrossEntropy(TimedLoss):
    """The bound with T = `steps`, and the cross-entropy of x_0 beside it.

    `even`: the cross-entropy counts 1/t, which for masks and kept = 1 − t is the bound in the limit of many steps.
    Raises ValueError where nothing is left to learn from.
    """

    bound: float = 1.0
    auxiliary: float = 0.01
    steps: int = 1000
    even: bool = False
    times: Times = field(default_factory=Discrete)

    def __post_init__(self) -> None:
        if self.bound < 0 or self.auxiliary < 0 or self.bound + self.auxiliary == 0 or self.steps < 1:
            raise ValueError("needs bound and auxiliary of at least 0, one of them above, and steps of at least 1")

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        process, size = denoiser.process, x0[0].numel()
        xt = process.marginal(x0, t).sample(rng.fork("eps"))
        posterior = denoiser(xt, t)
        loss = -self.auxiliary * bits_per_dim(posterior.log_prob(x0), size)
        if self.even:
            loss = loss / expand(t, loss)
        if not self.bound:
            return loss
        nats = bound_term(process, posterior, x0, xt, t, steps=self.steps, decoder=Posterior())
        return loss + self.bound * self.steps * bits_per_dim(nats, size).to(loss)
