"""Denoisers that know the truth, for the laws of likelihoods."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import GaussianData, Mixture
from reverie.processes import Gaussian, Schedule, VpCosine

DIMENSIONS = (2, 8, 64)
Oracle = Callable[[int], GaussianData | Mixture]


def a_gaussian(dimensions: int, schedule: Schedule | None = None) -> GaussianData:
    mean = torch.linspace(-0.8, 0.8, dimensions, dtype=torch.float64)
    std = torch.linspace(0.3, 1.2, dimensions, dtype=torch.float64)
    return GaussianData(Gaussian(schedule or VpCosine()), mean, std)


def a_mixture(dimensions: int, schedule: Schedule | None = None) -> Mixture:
    generator = torch.Generator().manual_seed(dimensions)
    means = torch.randn(3, dimensions, generator=generator, dtype=torch.float64) / dimensions**0.25
    stds = torch.tensor([0.4, 0.6, 0.8], dtype=torch.float64)
    return Mixture(Gaussian(schedule or VpCosine()), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), means, stds)


def draw(oracle: GaussianData | Mixture, count: int, seed: int = 0) -> Tensor:
    law = oracle.law(0.0)
    if isinstance(law, Normal):
        return law.mean + law.std * Rng(seed).normal(torch.empty(count, *law.mean.shape[1:], dtype=torch.float64))
    repeated = type(law)(
        law.log_weights.expand(count, -1),
        law.means.expand(count, *law.means.shape[1:]),
        law.stds.expand(count, *law.stds.shape[1:]),
    )
    return repeated.sample(Rng(seed))
