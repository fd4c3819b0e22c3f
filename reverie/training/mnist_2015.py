"""MNIST by the 2015 system at the scale of a processor: multi-scale convolutions, bumps over time, learned β.

T = 100 steps; the network (`reverie.networks.MultiScale`) states mean and variance of every step, and the bound itself
teaches weights and β_2 … β_T together. The paper prints no bound for MNIST, but the Parzen-window estimate of 10,000
samples: 317 ± 2.7 bits for its model and 349 ± 3.3 for training images in the place of samples (its Table 2). That is
computed here too, from fewer samples and with training images beside them; the bound is for comparison with others.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 3.2.1, Table 2 and appendix D.2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.data import Dataset, Spec
from reverie.denoisers import F, NetworkDenoiser
from reverie.denoisers.decoder import Discretised
from reverie.likelihoods import Elbo
from reverie.losses import FullBound
from reverie.metrics.parzen import parzen
from reverie.networks import MultiScale, initialise
from reverie.processes import Gaussian
from reverie.samplers import Ancestral, sample
from reverie.training.fitting import fit
from reverie.training.swiss_roll import LearnedBetas

STEPS = 100
FIRST = 1e-4
PAPER = (317.0, 2.7)  # bits, by Parzen windows on 10,000 samples
PAPER_TRAINING = (349.0, 3.3)  # the same with training images for samples
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """Means in bits with standard errors: the bound for an image, and Parzen estimates from `samples` samples."""

    bound: tuple[float, float]
    pixels: int
    samples: int
    parzen: tuple[float, float]
    training: tuple[float, float]
    seconds: float

    def __str__(self) -> str:
        k, error = self.bound
        shown = lambda value: f"{value[0]:7.1f} ± {value[1]:.1f}"  # noqa: E731
        return "\n".join(
            [
                f"MNIST, {self.seconds:.0f} seconds",
                f"bound (8-bit pixels)                 {k:.1f} ± {error:.1f} bits an image, "
                f"{-k / self.pixels:.3f} ± {error / self.pixels:.3f} bits per dimension; the paper prints none",
                f"Parzen windows, {self.samples:5d} samples         {shown(self.parzen)} bits",
                f"the same, training images instead    {shown(self.training)} bits",
                f"paper, Parzen, 10000 samples         {shown(PAPER)} bits (training images {shown(PAPER_TRAINING)})",
                "Parzen estimates rise with the number of samples and do not rank models: compare each with that of",
                "training images beside it.",
            ]
        )


def build(spec: Spec) -> NetworkDenoiser:
    """Mean and variance of every step by the multi-scale network, on a noise schedule that learns with it."""
    schedule = LearnedBetas(STEPS, FIRST, -8.0)
    network = MultiScale(shape=tuple(spec.shape), outputs=2, width=48, depth=3, patch=2)
    initialise(network, 0)
    std = float(spec.std)
    with torch.no_grad():
        denoiser = NetworkDenoiser(
            Gaussian(schedule), network, F(data_std=std), data_std=std, learned_std=True, steps=STEPS
        )
    denoiser.add_module("schedule", schedule)
    return denoiser


def mnist(say: Say, data: Dataset, *, updates: int = 900, quick: bool = False) -> Outcome:
    """Train on the training part, then the bound on 256 test images and the estimate from 1,000 samples."""
    began, denoiser = time.monotonic(), build(data.spec)
    train, held = data.split()
    draw = lambda count, rng: data.rows(train[rng.integers(count, len(train))])  # noqa: E731
    loss = FullBound(steps=STEPS, bins=data.spec.scale.bins or 0)
    for k, _ in enumerate(fit(denoiser, loss, draw, updates=updates, size=128, rate=2e-3)):
        say("mnist", k + 1, updates)
    denoiser.eval()
    bound = Elbo(steps=STEPS, terms=4 if quick else 25, decoder=Discretised(data.spec.scale.bins or 256))
    bits = bound(denoiser, data.rows(held[: 8 if quick else 256]), rng=Rng(1)).log_prob / math.log(2)
    count = 8 if quick else 1000
    drawn = sample(denoiser, (count, *data.spec.shape), sampler=Ancestral(), steps=10 if quick else STEPS, rng=Rng(2))
    near = [_parzen(x, data, train, held) for x in (drawn, data.rows(train[:count]))]
    pixels = data.spec.dimensions
    return Outcome(_mean(bits), pixels, count, near[0], near[1], time.monotonic() - began)


def _parzen(samples: Tensor, data: Dataset, train: Tensor, held: Tensor) -> tuple[float, float]:
    """In bits, of the test images, pixels from 0 to 1; the width by the last training images."""
    unit = lambda x: ((x + 1) / 2).clamp(0, 1)  # noqa: E731
    nats, _ = parzen(unit(samples), unit(data.rows(held)), validation=unit(data.rows(train[-1000:])))
    return _mean(nats / math.log(2))


def _mean(bits: Tensor) -> tuple[float, float]:
    return float(bits.mean()), float(bits.std() / math.sqrt(len(bits)))
