"""Langevin dynamics: sampling with a score alone, adjusted or not, annealed over noise levels, or as a corrector.

    dx = ∇log p(x) dτ + √2 dw        leaves p as it is; a step of size δ is  x ← x + δ ∇log p(x) + √(2δ) z
Discretised it leaves a law O(δ) from p; with Metropolis' acceptance, p itself.
References: Roberts & Tweedie 1996 (both); Song & Ermon 2019, arXiv:1907.05600, algorithm 1 (annealed).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import sum_features
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.ancestral import Ancestral
from reverie.samplers.base import Sampler, State
from reverie.samplers.exponential import point
from reverie.samplers.multistep import combine


def langevin(score: Callable[[Tensor], Tensor], x: Tensor, *, step: float, steps: int, rng: Rng) -> Iterator[Tensor]:
    """Unadjusted Langevin: x ← x + δ ∇log p(x) + √(2δ) z, δ = `step`, yielding x after each of `steps` steps.

    `score` maps (B, *D) to ∇log p (B, *D): a density's gradient, or `denoisers.score` at a fixed time.
    On N(m, v) the stationary variance is v/(1 − δ/(2v)), for δ < 2v. Reference: Roberts & Tweedie 1996, section 1.4.
    """
    for i in range(steps):
        x = x + step * score(x) + math.sqrt(2 * step) * rng.fork("langevin", i).normal(x)
        yield x


def metropolis_langevin(
    log_prob: Callable[[Tensor], Tensor], x: Tensor, *, step: float, steps: int, rng: Rng
) -> Iterator[tuple[Tensor, Tensor]]:
    """Metropolis-adjusted Langevin: yields x and which rows (B,) accepted; p is stationary for every δ = `step`.

    x′ = x + δ ∇log p(x) + √(2δ) z,   accepted with probability min(1, p(x′) q(x | x′)/(p(x) q(x′ | x)))
    with q(x′ | x) = N(x + δ ∇log p(x), 2δ). `log_prob` maps (B, *D) to (B,) and is differentiated.
    Reference: Besag 1994; Roberts & Tweedie 1996, section 1.4.
    """
    value, slope = value_and_score(log_prob, x)
    for i in range(steps):
        here = rng.fork("langevin", i)
        proposal = x + step * slope + math.sqrt(2 * step) * here.normal(x)
        new_value, new_slope = value_and_score(log_prob, proposal)
        there_and_back = sum_features((x - proposal - step * new_slope) ** 2 - (proposal - x - step * slope) ** 2)
        log_ratio = new_value - value - there_and_back / (4 * step)
        accepted = here.fork("accept").uniform(len(x)).log().to(log_ratio) < log_ratio
        rows = accepted.reshape(-1, *(1,) * (x.dim() - 1))
        x, slope = torch.where(rows, proposal, x), torch.where(rows, new_slope, slope)
        value = torch.where(accepted, new_value, value)
        yield x, accepted


def value_and_score(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x) (B,) and its gradient (B, *D)."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        value = log_prob(leaf)
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


@functools.lru_cache(maxsize=16384)
def langevin_coefficients(schedule: Schedule, t: float, size: float) -> tuple[float, float, float]:
    """(k, c, n) of x + δ ∇log p_t + √(2δ) z = k x + c x̂_0 + n z for δ = size σ²: 1 − size, size α, σ √(2 size)."""
    alpha, sigma, _ = point(schedule, t)
    return 1 - size, size * alpha, sigma * math.sqrt(2 * size)


@dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """At each noise level t: `level_steps` steps x ← x + δ ∇log p_t + √(2δ) z with δ = step_size σ_t²; then on to s.

    The grid is the ladder (NCSN: geometric, `log-snr`). `step_size` None is NCSNv2's for the ratio r_t/r_s.
    To the next level x keeps its scale α; at the end (σ = 0) it is denoised to x̂_0 once, unless `denoise` is off.
    NCSN writes its step as α_i/2 = ε σ_i²/(2σ_L²): ε = 2e-5, σ_L = 0.01 is `step_size` 0.1.
    References: Song & Ermon 2019, arXiv:1907.05600, algorithm 1; 2020, arXiv:2006.09011, techniques 2, 4 and section 4.
    """

    level_steps: int = 5
    step_size: float | None = None
    denoise: bool = True
    order: ClassVar[int] = 0
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.level_steps < 1:
            raise ValueError(f"level_steps must be at least 1, not {self.level_steps}")
        if self.step_size is not None and not 0 < self.step_size < 2:
            raise ValueError(f"step_size must be between 0 and 2, not {self.step_size}")

    @property
    def evaluations(self) -> int:
        return self.level_steps

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        (alpha_t, sigma_t, lambda_t), (alpha_s, sigma_s, lambda_s) = point(schedule, t), point(schedule, s)
        ratio = math.exp(min(lambda_s - lambda_t, 5.0)) if sigma_s else math.e
        size = self.step_size or ncsnv2_step(ratio, self.level_steps)
        keep, pull, noise = langevin_coefficients(schedule, t, size)
        for i in range(self.level_steps):
            x = combine(x, keep, (pull,), (denoiser(x, t).mean,)).add_(rng.fork(i).normal(x), alpha=noise)
        if sigma_s == 0 and self.denoise:
            return denoiser(x, t).mean * alpha_s, state
        return x * (alpha_s / alpha_t if alpha_t else sigma_s / sigma_t), state


@functools.lru_cache(maxsize=4096)
def ncsnv2_step(ratio: float, steps: int) -> float:
    """NCSNv2's step size, in units of σ²: the one for which `steps` steps turn the last level's noise into this one's.

    On a point the noise of variance γ² (γ = ratio > 1) becomes (1 − ε)^{2T} (γ² − c) + c with c = 2ε/(1 − (1 − ε)²);
    the largest ε in (0, 1] for which this is nearest 1. Reference: Song & Ermon 2020, arXiv:2006.09011, equation 5.
    """

    def excess(size: float) -> float:
        stationary = 2 * size / (1 - (1 - size) ** 2)
        return abs((1 - size) ** (2 * steps) * (ratio**2 - stationary) + stationary - 1)

    return min((i / 2000 for i in range(1, 2000)), key=excess)


def ncsnv2_levels(sigma_max: float, sigma_min: float, dimensions: int) -> int:
    """How many levels a geometric ladder needs so that neighbouring shells of noise overlap by half.

    Φ(√(2D) (γ − 1) + 3γ) − Φ(√(2D) (γ − 1) − 3γ) = ½. Reference: Song & Ermon 2020, arXiv:2006.09011, technique 2.
    """

    def overlap(ratio: float) -> float:
        shift = math.sqrt(2 * dimensions) * (ratio - 1)
        return 0.5 * (math.erf((shift + 3 * ratio) / math.sqrt(2)) - math.erf((shift - 3 * ratio) / math.sqrt(2)))

    low, high = 1.0, 1e6
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if overlap(middle) > 0.5 else (low, middle)
    return max(2, math.ceil(math.log(sigma_max / sigma_min) / math.log(low)) + 1) if low > 1 else 2


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    """Any sampler's step, then `corrections` Langevin steps at the level it arrived at, δ = 2 (snr σ_s)².

    The published step, 2 (snr ‖z‖/‖∇log p‖)², averages norms over the batch; with ‖∇log p‖ ≈ √D/σ it is this one,
    which does not let examples influence each other. No correction at the end (σ_s = 0).
    Reference: Song et al. 2021, arXiv:2011.13456, algorithms 1, 4 and 5 (snr 0.16).
    """

    predictor: Sampler = field(default_factory=Ancestral)
    corrections: int = 1
    snr: float = 0.16
    order: ClassVar[int] = 0
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.corrections < 0 or not 0 < self.snr < 1:
            raise ValueError(f"needs corrections >= 0 and 0 < snr < 1, not {self.corrections} and {self.snr}")

    @property
    def evaluations(self) -> int:
        return self.predictor.evaluations + self.corrections

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        return self.predictor.init(denoiser, x, rng=rng)

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        x, state = self.predictor.step(denoiser, x, t, s, state=state, rng=rng)
        schedule = gaussian(denoiser).schedule
        if point(schedule, s)[1] > 0:
            keep, pull, noise = langevin_coefficients(schedule, s, 2 * self.snr**2)
            for i in range(self.corrections):
                draw = rng.fork("correct", i).normal(x)
                x = combine(x, keep, (pull,), (denoiser(x, s).mean,)).add_(draw, alpha=noise)
        return x, state
