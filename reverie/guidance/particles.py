"""Sequential Monte Carlo over any twist: samples of p(x_0) r(x_0)/Z, and Z without bias.

Each of K particles walks with the guided denoiser and carries the weight that the walk owes to the law it left,
    w_s = w_t · p(x_s | x_t) ψ_s(x_s) / (p̃(x_s | x_t) ψ_t(x_t)),      w_1 = ψ_1(x_1),   ψ_0 = r
p the inner denoiser's ancestral step, p̃ the guided one's. The mean weight, multiplied over the resamplings, estimates
Z = ∫ p(x_0) r(x_0) dx_0 without bias for any ψ, any K and any number of steps, p being the law of the inner sampler.
Reference: Wu et al. 2023, arXiv:2306.17775 (twisted diffusion sampler); Del Moral 2004, Feynman–Kac Formulae.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reverie.core.distributions import Distribution, Normal
from reverie.core.rng import Rng
from reverie.core.tensors import expand, sum_features
from reverie.denoisers.base import Denoiser
from reverie.guidance.base import Twist, Twisted, readable


@dataclass(frozen=True)
class Cloud:
    """What is known of the particles of B problems, K each, rows b K … (b + 1) K − 1 of a batch.

    `log_weights` (B, K) since the last resampling; `log_evidence` (B,) of the resamplings so far; `twist` at the
    current points; `sizes` the effective sample sizes (B,) after each step; `resampled` how often each was resampled.
    """

    twist: Twist
    log_weights: Tensor
    log_evidence: Tensor
    sizes: tuple[Tensor, ...] = ()
    resampled: Tensor | float = 0.0

    @property
    def evidence(self) -> Tensor:
        """log Ẑ in nats, (B,); Ẑ is unbiased once the walk has ended."""
        return self.log_evidence + log_mean(self.log_weights)


@dataclass(frozen=True)
class Particles:
    """A sampler's step for a twisted denoiser: ancestral, weighted, and resampled when few particles carry the weight.

    `count` particles for each problem; systematic resampling where the effective sample size (Σw)²/Σw² falls below
    `threshold` × count. Use it with `reverie.samplers.trajectory` on a batch of B × count rows, or by
    `reverie.training.smc`.
    At the last step, where the inner law may be a point, the inner denoiser itself proposes.
    Reference: Wu et al. 2023, arXiv:2306.17775, algorithm 1; Kitagawa 1996 (systematic resampling).
    """

    count: int = 64
    threshold: float = 0.5
    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True
    evaluations: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.threshold <= 1:
            raise ValueError(f"particles need a count above 0 and a threshold in [0, 1], not {self}")

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> Cloud:
        """Weights ψ_1(x_1). Raises ValueError for a batch that is no multiple of `count`."""
        if len(x) % self.count:
            raise ValueError(f"a batch of {len(x)} rows is no multiple of {self.count} particles")
        twist = twist_at(denoiser, x, 1.0)
        rows = twist.log_value.reshape(-1, self.count)
        return Cloud(twist, rows.double(), torch.zeros(len(rows), dtype=torch.float64, device=x.device))

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: Cloud, rng: Rng
    ) -> tuple[Tensor, Cloud]:
        """x_t → x_s with weights, then resampling; nothing where s = t."""
        if s == t:
            return x, state
        own = denoiser.process.reverse(state.twist.belief, x, s, t)
        if s > 0:
            proposal = denoiser.process.reverse(state.twist.posterior, x, s, t)
            xs = proposal.sample(rng)
            twist = twist_at(denoiser, xs, s)
            owed = log_ratio(own, proposal, xs) + twist.log_value
        else:
            xs = own.sample(rng)
            twist = state.twist
            owed = strength_of(denoiser) * rewarded(denoiser, xs)
        change = (owed - state.twist.log_value).double().reshape(-1, self.count)
        moved = Cloud(twist, state.log_weights + change, state.log_evidence, state.sizes, state.resampled)
        return self._resampled(xs, moved, rng, last=s == 0)

    def _resampled(self, x: Tensor, cloud: Cloud, rng: Rng, *, last: bool) -> tuple[Tensor, Cloud]:
        """Particles drawn anew by their weights, in the problems where too few of them count."""
        size = effective(cloud.log_weights)
        sizes = (*cloud.sizes, size)
        few = (size < self.threshold * self.count) & (not last)
        problems = len(size)
        u = rng.fork("resample").uniform(len(x))[:: self.count].to(x.device)
        pick = systematic(cloud.log_weights, u)
        pick = torch.where(few[:, None], pick, torch.arange(self.count, device=x.device))
        index = (pick + self.count * torch.arange(problems, device=x.device)[:, None]).flatten()
        evidence = cloud.log_evidence + torch.where(few, log_mean(cloud.log_weights), 0.0)
        weights = torch.where(few[:, None], 0.0, cloud.log_weights)
        return x[index], Cloud(_rows(cloud.twist, index), weights, evidence, sizes, cloud.resampled + few.double())


@dataclass(frozen=True)
class Outcome:
    """x (B, K, *D), normalised log-weights (B, K), log Ẑ (B,), effective sizes (steps, B), and how often resampled."""

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    sizes: Tensor
    resampled: Tensor

    @classmethod
    def of(cls, x: Tensor, cloud: Cloud) -> Outcome:
        """The particles at the end of a walk, x (B K, *D), with what is known of them."""
        kept = x.reshape(*cloud.log_weights.shape, *x.shape[1:])
        sizes, resampled = torch.stack(cloud.sizes), torch.as_tensor(cloud.resampled)
        return cls(kept, cloud.log_weights.log_softmax(1), cloud.evidence, sizes, resampled)

    @property
    def mean(self) -> Tensor:
        """Σ_k w_k x_k, (B, *D)."""
        weights = self.log_weights.exp().to(self.x)
        return (weights.reshape(*weights.shape, *(1,) * (self.x.dim() - 2)) * self.x).sum(1)

    def draw(self, rng: Rng) -> Tensor:
        """K equally weighted particles, (B, K, *D), by systematic resampling."""
        pick = systematic(self.log_weights, rng.uniform(len(self.x)).to(self.x.device))
        return torch.stack([x[k] for x, k in zip(self.x, pick, strict=True)])


def twist_at(denoiser: Denoiser, x: Tensor, t: float) -> Twist:
    """Belief, shift and log ψ at x_t. Raises ValueError for a denoiser that is not twisted."""
    if not isinstance(denoiser, Twisted):
        raise ValueError(f"particles need a guidance with a twist, not {type(denoiser).__name__}")
    later, gain = readable(denoiser.process.schedule, t)
    return denoiser.twist(expand(gain, x) * x, later, denoiser.strength(later))


def rewarded(denoiser: Denoiser, x0: Tensor) -> Tensor:
    """log r(x_0), (B,)."""
    assert isinstance(denoiser, Twisted)
    return denoiser.log_reward(x0)


def strength_of(denoiser: Denoiser) -> float:
    """The power to which the reward is taken."""
    assert isinstance(denoiser, Twisted)
    return denoiser.scale


def log_ratio(own: Distribution, proposal: Distribution, xs: Tensor) -> Tensor:
    """log p(x_s | x_t) − log p̃(x_s | x_t), (B,): two normals of one variance.

    −½ Σ [(x − m)² − (x − m̃)²]/v = ½ Σ (m̃ − m)(m + m̃ − 2x)/v
    """
    std = torch.as_tensor(own.std).to(xs)
    terms = (proposal.mean - own.mean) * (own.mean + proposal.mean - 2 * xs) / (2 * std**2)
    return sum_features(terms)


def log_mean(log_weights: Tensor) -> Tensor:
    """log of the mean weight, (B,)."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def effective(log_weights: Tensor) -> Tensor:
    """(Σ w)²/Σ w², (B,): between 1 and K. Reference: Kong, Liu & Wong 1994."""
    return torch.exp(2 * log_weights.logsumexp(1) - (2 * log_weights).logsumexp(1))


def systematic(log_weights: Tensor, u: Tensor) -> Tensor:
    """Indices (B, K): particle k is drawn ⌊K w_k⌋ or ⌈K w_k⌉ times, its mean K w_k. One uniform number u (B,) each."""
    count = log_weights.shape[1]
    cumulative = log_weights.softmax(1).cumsum(1)
    places = (torch.arange(count, device=u.device) + u[:, None]) / count
    return torch.searchsorted(cumulative, places.to(cumulative)).clamp(max=count - 1)


def _rows(twist: Twist, index: Tensor) -> Twist:
    std = twist.belief.std
    many = isinstance(std, Tensor) and std.dim() > 0 and std.shape[0] == len(twist.shift)
    belief = Normal(twist.belief.mean[index], std[index] if many and isinstance(std, Tensor) else std)
    return Twist(belief, twist.shift[index], twist.log_value[index])
