"""Posterior samples by particles: a twisted denoiser walked by `Particles` from the prior to data.

>>> outcome = smc(PiGdm(model, observation), (1, *shape), times=times, rng=Rng(0))        # doctest: +SKIP
>>> outcome.mean, outcome.log_evidence, outcome.sizes                                     # doctest: +SKIP
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.guidance import Outcome, Particles, Twisted
from reverie.samplers import Sampler, prior, trajectory


@torch.inference_mode()
def smc(
    denoiser: Twisted,
    shape: tuple[int, ...],
    *,
    times: list[float],
    rng: Rng,
    particles: Particles | None = None,
    x1: Tensor | None = None,
) -> Outcome:
    """Particles for each of B problems, `shape` (B, *D): particle k of problem b draws from stream b K + k alone.

    x_1 (B K, *D) is drawn from the process's prior unless given. Raises ValueError unless the times end at 0.
    """
    walk = particles or Particles()
    if times[-1] != 0:
        raise ValueError(f"particles are weighed at t = 0; the times end at {times[-1]}")
    if x1 is None:
        x1 = prior(denoiser, (shape[0] * walk.count, *shape[1:])).sample(rng.fork("prior"))
    # a sampler in all but its base class, which guidance must not import
    *_, last = trajectory(denoiser.eval(), cast(Sampler, walk), x1, times, rng=rng)
    return Outcome.of(last.x, last.state)
