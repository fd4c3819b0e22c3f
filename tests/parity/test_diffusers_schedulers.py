"""The same network, noise and grid give diffusers' samples, wherever both define the same algorithm.

Where the two differ the last tests say how, and the exact solution says who is right.
"""

import math

import pytest
import torch

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, Mixture
from reverie.processes import Gaussian, LinearBeta
from reverie.samplers import Ancestral, Ddim, DpmMultistep, Euler, Heun, Uniform, UniPc, trajectory

pytestmark = pytest.mark.parity
schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")

BASE = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
SCHEDULE = LinearBeta()
TRAILING = {"timestep_spacing": "trailing"}
STEPS = 20


def denoiser() -> Mixture:
    means = torch.tensor([[-0.7, -0.3], [0.6, -0.5], [0.1, 0.8]]).double()
    return Mixture(
        Gaussian(SCHEDULE), torch.tensor([0.2, 0.3, 0.5]).double(), means, torch.tensor([0.2, 0.25, 0.3]).double()
    )


def start() -> torch.Tensor:
    return Rng(0).normal(torch.empty(64, 2).double())


def theirs(name: str, steps: int = STEPS, *, seed: int = 0, **options) -> torch.Tensor:
    """The scheduler's sample; in its own scale y = x/α it starts from exactly the same x_1."""
    scheduler = getattr(schedulers, name)(**{**BASE, **TRAILING, **options})
    scheduler.set_timesteps(steps)
    scaled = float(scheduler.init_noise_sigma) > 1.5
    x = start() / SCHEDULE.alpha(1.0) if scaled else start()
    generator = torch.Generator().manual_seed(seed)
    extra = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    for step in scheduler.timesteps:
        t = (float(step) + 1) / 1000
        seen = scheduler.scale_model_input(x, step)
        eps = (seen - SCHEDULE.alpha(t) * denoiser()(seen, t).mean) / SCHEDULE.sigma(t)
        x = scheduler.step(eps, step, x, **extra).prev_sample
    return x


class TorchNoise(Rng):
    """The numbers that torch's generator draws, in its order."""

    __slots__ = ("generator",)

    def __init__(self, seed: int) -> None:
        super().__init__(0)
        self.generator = torch.Generator().manual_seed(seed)

    def fork(self, *keys: int | str) -> "TorchNoise":
        return self

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)


def ours(sampler, steps: int = STEPS, rng: Rng | None = None) -> torch.Tensor:
    process = denoiser().process
    *_, last = trajectory(denoiser(), sampler, start(), Uniform().times(process, steps), rng=rng or Rng(0))
    return last.x


PAIRS = [
    (Ddim(), "DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": True}),
    (Euler(), "EulerDiscreteScheduler", {}),
    (Heun(), "HeunDiscreteScheduler", {}),
    (DpmMultistep(2, midpoint=True), "DPMSolverMultistepScheduler", {"final_sigmas_type": "zero"}),
    (DpmMultistep(2), "DPMSolverMultistepScheduler", {"final_sigmas_type": "zero", "solver_type": "heun"}),
    (UniPc(1, midpoint=True), "UniPCMultistepScheduler", {"solver_order": 1, "solver_type": "bh2"}),
    (UniPc(2, midpoint=True), "UniPCMultistepScheduler", {"solver_order": 2, "solver_type": "bh2"}),
]


@pytest.mark.parametrize(
    ("sampler", "name", "options"), PAIRS, ids=lambda v: repr(v) if not isinstance(v, dict) else ""
)
def test_a_deterministic_sampler_reproduces_the_scheduler(sampler, name, options):
    assert float((ours(sampler) - theirs(name, **options)).abs().max()) < 1e-4


def test_ancestral_sampling_reproduces_ddpm_with_the_same_noise():
    options = {"variance_type": "fixed_small", "clip_sample": False}
    for steps in (20, 250):
        a, b = ours(Ancestral(v=0.0), steps, TorchNoise(3)), theirs("DDPMScheduler", steps, seed=3, **options)
        assert float((a - b).abs().max()) < 1e-4


def test_ddim_with_noise_reproduces_the_scheduler():
    scheduler = schedulers.DDIMScheduler(**BASE, **TRAILING, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(STEPS)
    x, noise = start(), TorchNoise(4)
    for step in scheduler.timesteps:
        t = (int(step) + 1) / 1000
        eps = (x - SCHEDULE.alpha(t) * denoiser()(x, t).mean) / SCHEDULE.sigma(t)
        z = noise.normal(x) if int(step) >= 1000 // STEPS else torch.zeros_like(x)
        x = scheduler.step(eps, step, x, eta=1.0, variance_noise=z).prev_sample
    assert float((ours(Ddim(eta=1.0), rng=TorchNoise(4)) - x).abs().max()) < 1e-4


class Quadratic(Denoiser):
    """x̂_0 = λ², λ = log(α/σ), whatever x_t is: a third-order method integrates it exactly once it is under way."""

    process = Gaussian(SCHEDULE)

    def forward(self, xt: torch.Tensor, t: float) -> Normal:
        return Normal(torch.full_like(xt, float(SCHEDULE.log_snr(t) / 2) ** 2))


def exact_increment(t: float, s: float) -> float:
    """∫ λ² e^λ dλ, the change of x/σ, which is [e^λ (λ² − 2λ + 2)]."""
    low, high = (float(SCHEDULE.log_snr(u)) / 2 for u in (t, s))
    value = [math.exp(v) * (v * v - 2 * v + 2) for v in (low, high)]
    return value[1] - value[0]


def test_the_third_order_multistep_solver_differs_and_the_exact_integral_is_ours():
    """diffusers' DPM-Solver++ 3M (as its authors') gives the second difference half its weight: an order is lost."""
    options = {"solver_order": 3, "final_sigmas_type": "zero", "lower_order_final": False}
    scheduler = schedulers.DPMSolverMultistepScheduler(**{**BASE, **TRAILING, **options})
    scheduler.set_timesteps(STEPS)
    model, times = Quadratic(), Uniform().times(Quadratic.process, STEPS)
    x = torch.ones(1, 1).double()
    mine = [step.x for step in trajectory(model, DpmMultistep(3), x, times, rng=Rng(0))]
    published = [x]
    for step, t in zip(scheduler.timesteps, times, strict=False):
        eps = (published[-1] - SCHEDULE.alpha(t) * model(x, t).mean) / SCHEDULE.sigma(t)
        published.append(scheduler.step(eps, step, published[-1]).prev_sample)
    for k in range(3, STEPS - 1):
        t, s = times[k], times[k + 1]
        errors = [
            abs(float(path[k + 1]) / SCHEDULE.sigma(s) - float(path[k]) / SCHEDULE.sigma(t) - exact_increment(t, s))
            for path in (mine, published)
        ]
        scale = abs(exact_increment(t, s))
        assert errors[0] < 1e-7 * scale
        assert errors[1] > 1e-4 * scale


def test_the_large_variance_differs_only_by_noise_in_the_last_step():
    """DDPM's 'fixed_large' adds noise of variance β after the last step when steps are skipped; here there is none."""
    options = {"variance_type": "fixed_large", "clip_sample": False}
    apart = theirs("DDPMScheduler", STEPS, seed=3, **options) - ours(Ancestral(v=1.0), STEPS, TorchNoise(3))
    beta = 1 - SCHEDULE.alpha(1 / STEPS) ** 2
    assert float(apart.std()) == pytest.approx(math.sqrt(beta), rel=0.3)
