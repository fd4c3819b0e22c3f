"""Guidance: a denoiser made of denoisers, so that it works with every sampler.

A condition y multiplies the law of x_t by p(y | x_t). By Tweedie's formula its score moves the posterior's mean by
    E[x_0 | x_t, y] = E[x_0 | x_t] + (σ²/α) ∇ log p(y | x_t)
and any positive function ψ(x_t), a *twist*, moves it in the same way. The spread stays the inner denoiser's.
Reference: Sohl-Dickstein et al. 2015, section 2.5; Dhariwal & Nichol 2021, arXiv:2105.05233, section 4.
"""

from __future__ import annotations

import copy
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from reverie.core.distributions import Distribution, Normal
from reverie.core.tensors import Scalar, expand, sqrt
from reverie.denoisers import Condition, gaussian
from reverie.denoisers.base import Denoiser
from reverie.processes import Gaussian, Schedule

NO_SIGNAL = -14.0  # log-SNR below which x_t says nothing of x_0 in single precision: σ/α = 1100


class Guidance(Denoiser, ABC):
    """`inner` steered with strength `scale` where the noise level σ/α is between `low` and `high`.

    Outside these levels the strength is `neutral`; at strength 0 the guidance is the inner denoiser itself.
    Reference for the interval: Kynkäänniemi et al. 2024, arXiv:2404.07724.
    """

    neutral: ClassVar[float] = 0.0
    process: Gaussian

    def __init__(self, inner: Denoiser, *, scale: float = 1.0, low: float = 0.0, high: float = math.inf) -> None:
        super().__init__()
        if not math.isfinite(scale) or not 0 <= low < high:
            raise ValueError(f"a guidance needs a finite scale and 0 <= low < high, not {scale}, {low} and {high}")
        self.inner, self.process = inner, gaussian(inner)
        self.scale, self.low, self.high = scale, low, high

    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        later, gain = readable(self.process.schedule, t)
        return self.steered(expand(gain, xt) * xt, later, self.strength(later))

    @abstractmethod
    def steered(self, xt: Tensor, t: Scalar, strength: Scalar) -> Distribution:
        """The guided posterior; `strength` is a number or (B,)."""

    def given(self, condition: Condition) -> Self:
        """The same guidance of the inner denoiser with a condition bound."""
        return self._with(inner=bind(self.inner, condition))

    def _with(self, **modules: Denoiser) -> Self:
        bound = copy.copy(self)
        # a shallow copy of a module shares its dictionary of modules
        bound._modules = {**self._modules, **modules}
        return bound

    @final
    def strength(self, t: Scalar) -> Scalar:
        """`scale` where low ≤ σ/α ≤ high, else `neutral`."""
        level = sqrt(self.process.schedule.sigma(t) ** 2) / self.process.schedule.alpha(t)
        if not isinstance(level, Tensor):
            return self.scale if self.low <= level <= self.high else self.neutral
        inside = (level >= self.low) & (level <= self.high)
        return torch.full_like(level, self.neutral).masked_fill(inside, self.scale)


@dataclass(frozen=True)
class Twist:
    """What a twisted denoiser knows at x_t: the inner belief, the shift of its mean, and log ψ(x_t) (B,) in nats."""

    belief: Distribution
    shift: Tensor
    log_value: Tensor

    @property
    def posterior(self) -> Normal:
        return Normal(self.belief.mean + self.shift, self.belief.std)


class Twisted(Guidance, ABC):
    """Guidance by a twist ψ(x_t)^scale: x̂_0′ = x̂_0 + (σ²/α) scale ∇ log ψ(x_t).

    The same ψ weighs particles (`reverie.guidance.Particles`), which then sample p(x_0) r(x_0) without bias, where
    `log_reward` is log r: what ψ becomes at t = 0. `through`: whether ψ reads x_t through the inner denoiser.
    """

    through: ClassVar[bool] = True

    @abstractmethod
    def slope(self, x: Traced, t: Scalar) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and (σ²/α) ∇ log ψ (B, *D) at x_t, at scale 1."""

    @abstractmethod
    def log_reward(self, x0: Tensor) -> Tensor:
        """log r(x_0) in nats, (B,), at scale 1."""

    def steered(self, xt: Tensor, t: Scalar, strength: Scalar) -> Distribution:
        if equals(strength, 0.0):
            return self.inner(xt, t)
        return self.twist(xt, t, strength).posterior

    def twist(self, xt: Tensor, t: Scalar, strength: Scalar) -> Twist:
        """Belief, shift and log ψ at x_t."""
        with traced(self.inner, xt, t, through=self.through) as x:
            value, shift = self.slope(x, x.t)
            strength = expand(strength, shift)
            flat = strength.flatten() if isinstance(strength, Tensor) else strength
            if x.nested:
                return Twist(x.belief, strength * shift, flat * value)
            return Twist(_cut(x.belief), strength * shift.detach(), flat * value.detach())


@dataclass(frozen=True)
class Traced:
    """x_t and the inner denoiser's belief, with the graph from one to the other.

    `nested`: another guidance around this one differentiates it in turn, so that its slopes keep their graph too.
    """

    x: Tensor
    t: Scalar
    belief: Distribution
    factor: Scalar
    nested: bool = False

    @property
    def mean(self) -> Tensor:
        """x̂_0 as a number to compute with, whose own graph is kept where another guidance needs it."""
        return self.belief.mean if self.nested else self.belief.mean.detach()

    def covariance(self, v: Tensor) -> Tensor:
        """Cov[x_0 | x_t] v = (σ²/α) (∂x̂_0/∂x_t)ᵀ v, Tweedie's second formula, (B, *D).

        Reference: Efron 2011; Boys et al. 2023, arXiv:2310.06721, proposition 1.
        """
        return self.factor * self._pull(self.belief.mean, v)

    def gradient(self, value: Tensor) -> Tensor:
        """(σ²/α) ∇ Σ value with respect to x_t, for values (B,) that are functions of their own row."""
        return self.factor * self._pull(value, torch.ones_like(value))

    def _pull(self, output: Tensor, v: Tensor) -> Tensor:
        if not output.requires_grad:
            return torch.zeros_like(self.x)
        (pulled,) = torch.autograd.grad(
            output, self.x, v, retain_graph=True, create_graph=self.nested, allow_unused=True
        )
        return torch.zeros_like(self.x) if pulled is None else pulled


@contextmanager
def traced(denoiser: Denoiser, xt: Tensor, t: Scalar, *, through: bool = True) -> Iterator[Traced]:
    """The one place where guidance differentiates: samplers run in inference mode, whose tensors know no gradients.

    Without `through` the belief has no graph, unless a guidance around this one needs it.
    """
    with torch.inference_mode(False), torch.enable_grad():
        nested = xt.requires_grad
        x = xt.clone() if nested else xt.detach().clone().requires_grad_()
        time = t.detach().clone() if isinstance(t, Tensor) else t
        schedule = gaussian(denoiser).schedule
        factor = expand(schedule.sigma(time) ** 2 / schedule.alpha(time), x)
        belief = denoiser(x if through or nested else x.detach(), time)
        yield Traced(x, time, belief, factor, nested)


def bind(denoiser: Denoiser, condition: Condition) -> Denoiser:
    """`denoiser.given(condition)` with tensors that may take part in gradients later."""
    with torch.inference_mode(False):
        parts = (None if part is None else part.clone() for part in (condition.label, condition.numbers))
        return denoiser.given(Condition(*parts))


def readable(schedule: Schedule, t: Scalar) -> tuple[Scalar, Scalar]:
    """The latest time up to t at which there is signal to read, and the gain that takes x_t there.

    Where α is 0 neither x̂_0 nor its gradient can be scaled; x_t is then as good as x at the noise level 1100.
    """
    if isinstance(t, Tensor):
        low = torch.as_tensor(schedule.log_snr(t)) < NO_SIGNAL
        time: Scalar = torch.where(low, _last(schedule), t) if bool(low.any()) else t
    else:
        time = _last(schedule) if schedule.log_snr(t) < NO_SIGNAL else t
    return time, 1.0 if time is t else _norm(schedule, time) / _norm(schedule, t)


@functools.lru_cache(maxsize=64)
def _last(schedule: Schedule) -> float:
    return float(schedule.time_of(NO_SIGNAL))


def _norm(schedule: Schedule, t: Scalar) -> Scalar:
    return sqrt(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2)


def equals(strength: Scalar, number: float) -> bool:
    """Whether the strength is this number for every example."""
    return bool((strength == number).all()) if isinstance(strength, Tensor) else strength == number


def _cut(belief: Distribution) -> Normal:
    """The moments of a belief without its graph."""
    std = belief.std
    return Normal(belief.mean.detach(), std.detach() if isinstance(std, Tensor) else std)
