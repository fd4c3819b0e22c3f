"""Ancestral sampling: x_s ~ p(x_s | x_t), the reverse that the process derives from the denoiser's posterior.

One function for every process: Gaussian, blurred, binomial, categorical.
Reference: Ho et al. 2020, arXiv:2006.11239, algorithm 2; Sohl-Dickstein et al. 2015, section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.distributions import normal
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.samplers.base import Sampler, State


@dataclass(frozen=True)
class Ancestral(Sampler):
    """x_s ~ E over x_0 ~ p(x_0 | x_t) of q(x_s | x_0, x_t); at s = 0 the mean, no noise.

    `draw_last` draws x_0 from the posterior instead of taking its mean: with an exact Gaussian posterior the sampler
    is then exact in any number of steps.

    The reverse variance is the posterior's spread: β̃ for a network that states none, the learned one for a network
    that does. `v` overrides it (Gaussian only) with β^v β̃^(1−v): 0 is β̃ ("small"), 1 is β ("large").
    Reference for v: Nichol & Dhariwal 2021, equation 15.
    """

    v: float | None = None
    draw_last: bool = False
    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.v is not None and not 0 <= self.v <= 1:
            raise ValueError(f"v must be between 0 (beta-tilde) and 1 (beta), not {self.v}")

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        posterior = denoiser(x, t)
        if self.v is not None and s > 0:
            posterior = normal(posterior.mean, gaussian(denoiser).posterior_std(self.v, s, t))
        reverse = denoiser.process.reverse(posterior, x, s, t)
        return (reverse.sample(rng) if s > 0 or self.draw_last else reverse.settle(rng)), state
