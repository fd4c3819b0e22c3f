"""What the sampler laws hold samplers against: exact data laws, the exact flow in one dimension, exact moments.

In one dimension the probability-flow ODE carries quantiles to quantiles, so its solution is F_s⁻¹(F_t(x)) and needs no
solver. On Gaussian data a sampler that is affine in its noise is read off exactly: a row of the batch per draw.
"""

import itertools
import math

import torch
from numpy.polynomial import hermite_e
from scipy.interpolate import CubicSpline
from torch import Tensor

from reverie.core import catalog
from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, GaussianData, Mixture
from reverie.processes import Gaussian, Schedule, VpLinear
from reverie.samplers import Sampler, trajectory
from reverie.samplers.exponential import point, time_at

SCHEDULE = VpLinear()
# Options besides the defaults under which an entry has to keep the laws.
VARIANTS: dict[str, list[dict[str, object]]] = {
    "ddim": [{"eta": 0.5}, {"eta": 1.0}],
    "ancestral": [{"v": 0.0}, {"v": 1.0}],
    "runge-kutta": [
        {"tableau": name} for name in ("midpoint", "ralston2", "heun2", "ralston3", "kutta3", "three-eighths")
    ],
    "dpm-solver": [{"order": 1}, {"order": 2}],
    "dpm-singlestep": [{"order": 1}, {"order": 3}],
    "dpm-multistep": [{"order": 1}, {"order": 2, "midpoint": True}, {"order": 3}, {"order": 4}],
    "dpm-noise": [{"order": 3}],
    "deis": [{"order": 2}],
    "adams": [{"order": 2}, {"order": 4}],
    "uni-pc": [{"predictor": 1}, {"predictor": 2, "midpoint": True}, {"predictor": 3}],
    "adams-moulton": [{"predictor": 1}, {"predictor": 3}],
    "adaptive": [{"low_order": True}],
    "euler-maruyama": [{"eta": 0.0}, {"eta": 0.5}, {"eta": 1.5}],
    "sde-dpm": [{"order": 1}, {"eta": 0.5}, {"eta": 0.0}, {"low": 0.2, "high": 0.7}],
    "churn": [{"churn": 0.1}],
    "predictor-corrector": [{"predictor": {"name": "dpm-multistep"}, "corrections": 2}],
    "refinable": [{"inner": {"name": "ancestral"}}],
}


def entries() -> list[Sampler]:
    """Every sampler of the catalogue, with its defaults and with its variants."""
    built = []
    for name in catalog.names("samplers", "Sampler"):
        built += [catalog.build("samplers", {"name": name, **more}) for more in ({}, *VARIANTS.get(name, []))]
    return built


def gaussian_data(schedule: Schedule = SCHEDULE, mean: float = 0.4, std: float = 0.6) -> GaussianData:
    centre, spread = (torch.tensor([v], dtype=torch.float64) for v in (mean, std))
    return GaussianData(Gaussian(schedule), centre, spread)


def mixture(schedule: Schedule = SCHEDULE) -> Mixture:
    """Three unequal modes on the line."""
    means = torch.tensor([[-1.2], [0.1], [1.0]]).double()
    return Mixture(
        Gaussian(schedule), torch.tensor([0.3, 0.5, 0.2]).double(), means, torch.tensor([0.3, 0.4, 0.25]).double()
    )


class MeanOnly(Denoiser):
    """What a network without a learned variance states: the oracle's mean, and no spread."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner, self.process = inner, inner.process

    def forward(self, xt: Tensor, t: float) -> Normal:
        return Normal(self.inner(xt, t).mean)


def distribution_function(denoiser: Denoiser, t: float, x: Tensor) -> Tensor:
    """F_t(x) of a one-dimensional oracle, (B, 1) → (B,)."""
    law = denoiser.law(t)
    if isinstance(denoiser, GaussianData):
        return torch.special.ndtr((x - law.mean) / law.std)[:, 0]
    weights, means, stds = law.log_weights.exp(), law.means[..., 0], law.stds[..., 0]
    return (weights * torch.special.ndtr((x - means) / stds)).sum(-1)


def inverse(denoiser: Denoiser, t: float, u: Tensor) -> Tensor:
    """F_t⁻¹(u) by bisection, (B,) → (B, 1)."""
    low, high = torch.full_like(u, -60.0), torch.full_like(u, 60.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = distribution_function(denoiser, t, middle[:, None]) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return ((low + high) / 2)[:, None]


def quantiles(denoiser: Denoiser, t: float, count: int) -> Tensor:
    """`count` points with exactly the law p_t: its quantiles at (i + ½)/count, (count, 1)."""
    return inverse(denoiser, t, (torch.arange(count).double() + 0.5) / count)


def exact_flow(denoiser: Denoiser, x: Tensor, t: float, s: float) -> Tensor:
    """x_s = F_s⁻¹(F_t(x_t)), (B, 1)."""
    if isinstance(denoiser, GaussianData):
        law_t, law_s = denoiser.law(t), denoiser.law(s)
        return law_s.mean + (x - law_t.mean) * law_s.std / law_t.std
    return inverse(denoiser, s, distribution_function(denoiser, t, x))


class Drawn(Rng):
    """An `Rng` whose draws are given numbers."""

    __slots__ = ("numbers_drawn",)

    def __init__(self, numbers: Tensor) -> None:
        super().__init__(0)
        self.numbers_drawn = numbers

    def fork(self, *keys: int | str) -> "Drawn":
        return self

    def normal(self, like: Tensor) -> Tensor:
        return self.numbers_drawn


def expectations(denoiser: Denoiser, sampler: Sampler, times: list[float], starts: Tensor) -> Tensor:
    """E[x] and E[x²] at the last time over the starting points, for a sampler without memory and with one draw a step.

    Kolmogorov's backward equation in discrete time: u_k(x) = E_z u_{k+1}(step(x, z)), the expectation by Gauss–Hermite
    quadrature, u_k a cubic spline on 601 points.
    """
    nodes, weights = (torch.from_numpy(v) for v in hermite_e.hermegauss(12))
    grid = torch.linspace(-9, 9, 601).double()
    x, z = grid.repeat_interleave(len(nodes))[:, None], nodes.repeat(len(grid))[:, None]
    value = torch.stack((grid, grid**2), 1)
    for t, s in reversed(list(itertools.pairwise(times))):
        arrived, _ = sampler.step(denoiser, x, t, s, state=None, rng=Drawn(z))
        later = torch.from_numpy(CubicSpline(grid.numpy(), value.numpy())(arrived[:, 0].numpy()))
        value = (later.reshape(len(grid), len(nodes), 2) * weights[:, None] / weights.sum()).sum(1)
    return torch.from_numpy(CubicSpline(grid.numpy(), value.numpy())(starts[:, 0].numpy())).mean(0)


def fine_grid(schedule: Schedule, steps: int, t: float, s: float, order: int = 1) -> list[float]:
    """Uniform in λ from t to s in `steps` steps; for a multistep method after order − 1 short ones.

    A method that starts with order 1 keeps order p if its k-th starting step is h^{p/(k+1)}, h = 1/steps.
    """
    shares = [0.0, *itertools.accumulate(steps ** (-order / (k + 1)) for k in range(1, order))]
    last = shares[-1]
    shares += [last + (1 - last) * (i + 1) / steps for i in range(steps)]
    high, low = point(schedule, t)[2], point(schedule, s)[2]
    return [t, *(time_at(schedule, high + (low - high) * u) for u in shares[1:-1]), s]


def walk(denoiser: Denoiser, sampler: Sampler, x: Tensor, times: list[float], seed: int = 0) -> Tensor:
    *_, last = trajectory(denoiser, sampler, x, times, rng=Rng(seed))
    return last.x


def slope(coarse: float, fine: float) -> float:
    """The observed order between N and 2N steps."""
    return math.log2(coarse / fine)


class Probe(Rng):
    """An `Rng` that gives row k + 2 of the batch a one at draw k, and zeros elsewhere."""

    __slots__ = ("drawn",)

    def __init__(self) -> None:
        super().__init__(0)
        self.drawn = [0]

    def fork(self, *keys: int | str) -> "Probe":
        return self

    def normal(self, like: Tensor) -> Tensor:
        self.drawn[0] += 1
        row = torch.zeros_like(like)
        row[self.drawn[0] + 1] = 1.0
        return row


def exact_moments(denoiser: GaussianData, sampler: Sampler, times: list[float], draws: int) -> tuple[float, float]:
    """Mean and standard deviation of the last point for x_1 ~ its exact law, for a sampler affine in x and noise.

    Row 0 starts from 0 without noise, row 1 from 1, row k + 2 from 0 with the k-th draw equal to 1.
    """
    x = torch.zeros(draws + 2, 1).double()
    x[1] = 1.0
    probe = Probe()
    *_, last = trajectory(denoiser, sampler, x, times, rng=probe)
    assert probe.drawn[0] <= draws
    offset, gains = last.x[0, 0], last.x[1:, 0] - last.x[0, 0]
    law = denoiser.law(times[0])
    variance = (gains[0] * law.std) ** 2 + (gains[1:] ** 2).sum()
    return float(offset + gains[0] * law.mean), float(variance**0.5)
