"""Between data and noise by the ODE: encode, and interpolate in the space of noise.

The probability-flow ODE is a bijection between x_0 and x_1; walked from 0 to 1 it encodes, back it decodes.
Reference: Song et al. 2021, arXiv:2011.13456, section 4.3; Shoemake 1985 (interpolation on the sphere).
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import Denoiser
from reverie.samplers.base import Sampler, trajectory


@torch.inference_mode()
def encode(denoiser: Denoiser, x0: Tensor, *, sampler: Sampler, times: list[float]) -> Tensor:
    """x_1 for data x_0 (B, *D): a deterministic sampler of one step memory or none on the rising grid.

    `times` falls from 1 to 0, as for decoding. At t = 0 no noise is read: x̂_0 = x_0. Raises ValueError for a
    stochastic sampler.
    """
    if sampler.stochastic:
        raise ValueError(f"encoding needs a deterministic sampler, not {sampler!r}")
    *_, last = trajectory(denoiser, sampler, x0, times[::-1], rng=Rng(0))
    return last.x


def interpolate(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The point a share of the way from noise a to noise b (B, *D) on the great circle, which keeps the norm's law.

    sin((1 − w) φ)/sin φ a + sin(w φ)/sin φ b,   cos φ = a·b/(|a| |b|). Reference: Shoemake 1985, section 3.3.
    """
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    angle = cosine.clamp(-1 + 1e-7, 1 - 1e-7).acos()
    first, second = ((share_ * angle).sin() / angle.sin() for share_ in (1 - share, share))
    return expand(first, a) * a + expand(second, b) * b
