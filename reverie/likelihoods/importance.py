"""Work and free energy: the forward trajectory as a proposal for the reverse one.

    W = log q(x_1 … x_T | x_0) − log p(x_0, x_1 … x_T),     E_q[exp(−W)] = p(x_0)
which is Jarzynski's equality with ΔF = −log p(x_0): an unbiased estimate of the evidence from any number of
trajectories. The mean of W is the variational bound, and −log of the mean of K weights exp(−W) a bound that only
tightens as K grows. The trajectory is drawn from x_T down the bridges, which is the same law as up the transitions.
References: Jarzynski 1997, arXiv:cond-mat/9610209, equation 2; Sohl-Dickstein et al. 2015, arXiv:1503.03585, section
2.3; Burda et al. 2016, arXiv:1509.00519, theorem 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.denoisers.decoder import Decoder, Posterior
from reverie.denoisers.terms import prior_of, reverse_of
from reverie.likelihoods.base import Bound, Likelihood


@dataclass(frozen=True)
class Importance(Likelihood):
    """The K-sample bound over trajectories of T = `steps`; K = `particles`.

    Terms: `work`, the mean of W (the variational bound), and `recovered`, what K trajectories win back of it: ≤ 0,
    but for paths that the model cannot walk back (W = ∞), which only `recovered` counts; all of them make both ∞.
    The error is that of the logarithm by the delta method, and trustworthy while `effective` is well above 1.
    Details per example: `effective` = (Σ w)²/Σ w², the effective number of trajectories.
    """

    steps: int = 200
    particles: int = 16
    v: float | None = None
    decoder: Decoder = field(default_factory=Posterior)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.particles < 1:
            raise ValueError(f"steps and particles must be at least 1, not {self.steps} and {self.particles}")
        if self.v is not None and not 0 <= self.v <= 1:
            raise ValueError(f"v must be between 0 (beta-tilde) and 1 (beta), not {self.v}")

    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        work = self.works(denoiser, x0, rng=rng)
        mean, cost = finite_mean(work), free_energy(work)
        # ∞ − ∞ where no path can be walked: nothing is won back of a work without end
        terms = {"work": mean, "recovered": torch.where(cost < math.inf, cost - mean, torch.zeros_like(cost))}
        effective = effective_number(work)
        return Bound(terms, x0[0].numel(), {"work": free_energy_error(work)}, details={"effective": effective})

    @torch.no_grad()
    def works(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
        """W of each trajectory, nats (K, B) float64; trajectory k does not depend on how many there are."""
        return torch.stack([self._work(denoiser, x0, rng.fork("particle", k)) for k in range(self.particles)])

    def _work(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        process = denoiser.process
        law = process.marginal(x0, 1.0)
        xt = law.sample(rng.fork("end"))
        work = (law.log_prob(xt) - prior_of(denoiser, x0).log_prob(xt)).to("cpu", torch.float64)
        for i in range(self.steps, 1, -1):
            t, s = i / self.steps, (i - 1) / self.steps
            bridge = process.bridge(x0, xt, s, t)
            xs = bridge.sample(rng.fork("step", i))
            reverse = reverse_of(denoiser, xt, s, t, v=self.v)
            spent = (bridge.log_prob(xs) - reverse.log_prob(xs)).to("cpu", torch.float64)
            # a step that the reverse cannot take ends the path: its weight is 0 whatever follows
            work = torch.where(work == math.inf, work, work + spent)
            xt = xs
        read = self.decoder(denoiser(xt, 1 / self.steps), process, 1 / self.steps)
        return torch.where(work == math.inf, work, work - read.log_prob(x0).to("cpu", torch.float64))


def finite_mean(work: Tensor) -> Tensor:
    """The mean of W over the paths of finite work, (K, B) → (B,); ∞ where there is none."""
    finite = work < math.inf
    mean = torch.where(finite, work, torch.zeros_like(work)).sum(0) / finite.sum(0).clamp(min=1)
    return torch.where(finite.any(0), mean, torch.full_like(mean, math.inf))


def free_energy(work: Tensor) -> Tensor:
    """−log of the mean of exp(−W) over the first dimension: ΔF, (K, B) → (B,)."""
    return math.log(len(work)) - torch.logsumexp(-work, 0)


def free_energy_error(work: Tensor) -> Tensor:
    """Its standard error by the delta method, std(w)/(mean(w) √K); NaN for one trajectory, or where no w is above 0."""
    if len(work) < 2:
        return torch.full_like(work[0], torch.nan)
    weights = torch.softmax(-work, 0) * len(work)
    return weights.std(0) / len(work) ** 0.5


def effective_number(work: Tensor) -> Tensor:
    """(Σ w)²/Σ w² of weights exp(−W): between 1 and K; 0 where all weights are."""
    return torch.where((work < math.inf).any(0), 1 / torch.softmax(-work, 0).square().sum(0), 0.0)
