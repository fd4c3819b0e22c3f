"""The reverse stochastic differential equation and its whole family: any amount η of Langevin dynamics in the ODE.

    dx = [f x − ½ (1 + η²) g² ∇log p_t(x)] dt + η g dw̄,      t falling
has the marginals p_t for every η(t) ≥ 0: η = 0 is the probability-flow ODE, η = 1 Anderson's reverse SDE.
At the last step, to σ = 0, each returns x̂_0, the mean, without noise. From pure noise (α_t = 0), where f is infinite,
each takes the process's own bridge. References: Anderson 1982; Song et al. 2021, arXiv:2011.13456, equations 6, 13;
Zhang & Chen 2021, arXiv:2107.09769 (the family); Karras et al. 2022, arXiv:2206.00364, equation 6.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.processes import Schedule
from reverie.samplers.base import Sampler, State
from reverie.samplers.ddim import ddim_coefficients
from reverie.samplers.exponential import data_weights, point, time_at
from reverie.samplers.multistep import History, combine, nodes_of, with_signal
from reverie.samplers.ode import Heun


def noisy(x: Tensor, keep: float, pull: float, x0: Tensor, noise: float, rng: Rng) -> Tensor:
    """keep x + pull x̂_0 + noise z."""
    out = combine(x, keep, (pull,), (x0,))
    return out.add_(rng.normal(x), alpha=noise) if noise else out


@dataclass(frozen=True)
class EulerMaruyama(Sampler):
    """x_s = x_t − (t − s)[f x_t − ½ (1 + η²) g² ∇log p_t] + η g √(t − s) z, with f and g at t.

    Reference: Maruyama 1955; Song et al. 2021, arXiv:2011.13456, appendix D.1.
    """

    eta: float = 1.0
    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _not_negative(self.eta)

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        keep, pull, noise = euler_maruyama_coefficients(gaussian(denoiser).schedule, t, s, self.eta)
        return noisy(x, keep, pull, denoiser(x, t).mean, noise, rng), state


@functools.lru_cache(maxsize=16384)
def euler_maruyama_coefficients(schedule: Schedule, t: float, s: float, eta: float) -> tuple[float, float, float]:
    (alpha, sigma, _), (alpha_s, sigma_s, _) = point(schedule, t), point(schedule, s)
    if sigma_s == 0:
        return 0.0, alpha_s, 0.0
    if alpha == 0:
        return ddim_coefficients(schedule, t, s, min(eta, 1.0))
    length, diffusion2 = t - s, float(schedule.diffusion2(t))
    pull = length * 0.5 * (1 + eta**2) * diffusion2 / sigma**2
    keep = 1 - length * float(schedule.drift(t)) - pull
    return keep, pull * alpha, eta * math.sqrt(diffusion2 * length)


@dataclass(frozen=True)
class ReverseDiffusion(Sampler):
    """The forward step x_t = a x_s + b z, reversed with the same a and b: x_s = (2 − a) x_t + b² ∇log p_t + b z.

    a = α(t|s), b = σ(t|s). Reference: Song et al. 2021, arXiv:2011.13456, equation 46.
    """

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        keep, pull, noise = reverse_diffusion_coefficients(gaussian(denoiser).schedule, t, s)
        return noisy(x, keep, pull, denoiser(x, t).mean, noise, rng), state


@functools.lru_cache(maxsize=16384)
def reverse_diffusion_coefficients(schedule: Schedule, t: float, s: float) -> tuple[float, float, float]:
    (alpha, sigma, _), (alpha_s, sigma_s, _) = point(schedule, t), point(schedule, s)
    if sigma_s == 0:
        return 0.0, alpha_s, 0.0
    if alpha == 0:
        return ddim_coefficients(schedule, t, s, 1.0)
    a, b = (float(v) for v in schedule.ratio(s, t))
    return 2 - a - (b / sigma) ** 2, (b / sigma) ** 2 * alpha, b


@dataclass(frozen=True)
class SdeDpm(Sampler):
    """SDE-DPM-Solver++ 2M for the family: x̂_0 a polynomial in λ = log(α/σ), everything else exact.

    x_s = (σ_s/σ_t) e^{−η²h} x_t + α_s ∫ (1 + η²) e^{(1 + η²)(λ − λ_s)} P(λ) dλ + σ_s √(1 − e^{−2η²h}) z, h = λ_s − λ_t
    η = 0 is DPM-Solver++, η = 1 the reverse SDE; order 1 with η = 1 is ancestral sampling with variance β̃.
    Langevin dynamics is mixed in only between the times `low` and `high`, as EDM's S_tmin and S_tmax.
    References: Lu et al. 2022, arXiv:2211.01095, section 6; Xue et al. 2023, arXiv:2305.14267, equation 8.
    """

    order: int = 2
    eta: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _not_negative(self.eta)
        if not 1 <= self.order <= 2:
            raise ValueError(f"order must be 1 or 2, not {self.order}")
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"needs 0 <= low <= high <= 1, not {self.low} and {self.high}")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def init(self, denoiser: Denoiser, x: Tensor, *, rng: Rng | None = None) -> State:
        return ()

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        schedule = gaussian(denoiser).schedule
        history: History = ((t, denoiser(x, t).mean), *state)[: self.order]
        times, values = nodes_of(history)
        eta = self.eta if self.low <= s and t <= self.high else 0.0
        keep, weights, noise = data_weights(schedule, with_signal(schedule, times), t, s, eta)
        xs = combine(x, keep, weights, values)
        return (xs.add_(rng.normal(x), alpha=noise) if noise else xs), history


@dataclass(frozen=True)
class Churn(Sampler):
    """Stochastic Heun: walk back a little into fresh noise, then one Heun step of the ODE.

    r̂ = r_t (1 + γ),   y ← y + √(r̂² − r_t²) s_noise z,   Heun from r̂ to r_s        y = x/α, r = σ/α
    with 1 + γ = min(e^{churn h}, √2), h = log(r_t/r_s): `churn` is the share of the step that is walked back, and
    EDM's S_churn/N is about churn h. No churn outside the times `low` to `high`, at t = 1, nor in the last step.
    Reference: Karras et al. 2022, arXiv:2206.00364, algorithm 2.
    """

    churn: float = 0.3
    s_noise: float = 1.0
    low: float = 0.0
    high: float = 1.0
    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = True
    evaluations: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.churn < 0 or self.s_noise < 0:
            raise ValueError(f"churn and s_noise must not be negative, not {self.churn} and {self.s_noise}")

    def step(
        self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: State, rng: Rng
    ) -> tuple[Tensor, State]:
        if s == t:
            return x, state
        if self.low <= s and t <= self.high:
            back, keep, noise = churn_coefficients(gaussian(denoiser).schedule, t, s, self.churn)
            if noise:
                x, t = x.mul(keep).add_(rng.normal(x), alpha=self.s_noise * noise), back
        return Heun().step(denoiser, x, t, s, state=state, rng=rng)


@functools.lru_cache(maxsize=16384)
def churn_coefficients(schedule: Schedule, t: float, s: float, churn: float) -> tuple[float, float, float]:
    """The later time t̂, and the transition's α(t̂|t) and σ(t̂|t)."""
    lambda_t, lambda_s = point(schedule, t)[2], point(schedule, s)[2]
    if t >= 1 or math.isinf(lambda_s - lambda_t) or not churn:
        return t, 1.0, 0.0
    back = min(churn * (lambda_s - lambda_t), 0.5 * math.log(2))
    later = time_at(schedule, max(lambda_t - back, point(schedule, 1.0)[2]))
    if later <= t:
        return t, 1.0, 0.0
    keep, noise = schedule.ratio(t, later)
    return later, float(keep), float(noise)


def _not_negative(eta: float) -> None:
    if eta < 0:
        raise ValueError(f"eta must not be negative, not {eta}")
