"""diffusers' schedulers on an exact denoiser: the other side of `accuracy` and `sampling`.

diffusers counts timesteps 0 … 999; reverie's times are 1/1000 … 1; a timestep τ, whole or not, is t = (τ + 1)/1000.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from diffusers import schedulers
from torch import Tensor

from reverie.denoisers import Denoiser

logging.getLogger("diffusers").setLevel(logging.ERROR)
VERSION = diffusers.__version__
BASE = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
SPACINGS = ("linspace", "leading", "trailing")


def candidates() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, class, options): each scheduler under the spacings and sigma ladders that it has."""
    plain = {"clip_sample": False}
    for spacing in SPACINGS:
        where = {"timestep_spacing": spacing}
        yield "DDIM", "DDIMScheduler", {**plain, **where, "set_alpha_to_one": True}
        yield "Euler", "EulerDiscreteScheduler", where
        yield "PNDM", "PNDMScheduler", {**where, "skip_prk_steps": True, "set_alpha_to_one": True}
    ladders = [{"timestep_spacing": s} for s in SPACINGS] + [
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
    ]
    for ladder in ladders:
        yield "Heun", "HeunDiscreteScheduler", ladder
        yield "LMS", "LMSDiscreteScheduler", ladder
        for order in (2, 3):
            yield f"DEIS-{order}", "DEISMultistepScheduler", {**ladder, "solver_order": order}
            yield f"UniPC-{order}", "UniPCMultistepScheduler", {**ladder, "solver_order": order, "solver_type": "bh2"}
    for ladder in [*ladders, {"use_lu_lambdas": True}]:
        for order, kind in itertools.product((2, 3), ("dpmsolver++", "dpmsolver")):
            name = f"DPM-Solver{'++' if '+' in kind else ''} {order}M"
            zero = {"final_sigmas_type": "zero"} if "+" in kind else {"final_sigmas_type": "sigma_min"}
            yield name, "DPMSolverMultistepScheduler", {**ladder, **zero, "solver_order": order, "algorithm_type": kind}
        if "use_karras_sigmas" not in ladder:
            continue
        single = {**ladder, "solver_order": 2, "algorithm_type": "dpmsolver++", "final_sigmas_type": "zero"}
        yield "DPM-Solver++ 2S", "DPMSolverSinglestepScheduler", single


def stochastic() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Schedulers that draw noise."""
    for kind in ("fixed_small", "fixed_large"):
        options = {"variance_type": kind, "clip_sample": False, "timestep_spacing": "trailing"}
        yield f"DDPM ({'beta-tilde' if 'small' in kind else 'beta'})", "DDPMScheduler", options
    for ladder in ({"timestep_spacing": "trailing"}, {"use_karras_sigmas": True}, {"use_lu_lambdas": True}):
        options = {**ladder, "algorithm_type": "sde-dpmsolver++", "final_sigmas_type": "zero"}
        yield "DPM-Solver++ 2M SDE", "DPMSolverMultistepScheduler", {**options, "solver_order": 2}
    for spacing in ("linspace", "trailing"):
        yield "Euler ancestral", "EulerAncestralDiscreteScheduler", {"timestep_spacing": spacing}


def make(name: str, options: dict[str, Any]) -> Any:
    return getattr(schedulers, name)(**{**BASE, **options})


def run(
    denoiser: Denoiser, scheduler: Any, steps: int, x: Tensor, *, noise: int = 0, every: list[Tensor] | None = None
) -> Tensor:
    """The scheduler's sample from x (its own scale put on); `every` collects the points on the way."""
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    generator = torch.Generator().manual_seed(noise)
    extra = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    schedule = denoiser.process.schedule
    for step in scheduler.timesteps:
        t = min(max((float(step) + 1) / 1000, 1e-5), 1.0)
        scaled = scheduler.scale_model_input(x, step)
        eps = (scaled - schedule.alpha(t) * denoiser(scaled, t).mean) / schedule.sigma(t)
        x = scheduler.step(eps, step, x, **extra).prev_sample
        if every is not None:
            every.append(x)
    return x


def evaluations(scheduler: Any, steps: int) -> int:
    """How often the network is asked in so many steps."""
    scheduler.set_timesteps(steps)
    return len(scheduler.timesteps)


def steps_for(scheduler: Any, budget: int) -> int:
    """The most steps that a number of evaluations pays for."""
    for steps in range(budget, 0, -1):
        try:
            if evaluations(scheduler, steps) <= budget:
                return steps
        except (ValueError, IndexError, AssertionError):
            continue
    return 0
