"""Every measure of samples against held-out data, with its error, its floor and a simple baseline.

The floor is the same measure for real training examples in the samples' place, in the same number: what a perfect model
would reach. The baseline is a Gaussian fitted to the training examples: what no one needs a diffusion model for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie import metrics
from reverie.core.rng import Rng
from reverie.evaluation.features import Features
from reverie.metrics import Estimate

Metric = Callable[[Tensor, Tensor], float]
DISTANCES: dict[str, Metric] = {
    "frechet": metrics.frechet_distance,
    "kernel": metrics.kernel_distance,
    "energy": metrics.energy_distance,
    "sliced-wasserstein": metrics.sliced_wasserstein,
}


SHARES = ("precision", "recall", "density", "coverage")
MEANING = {
    "frechet": "distance between Gaussian fits (lower is better)",
    "kernel": "kernel distance, zero in mean for equal laws",
    "energy": "energy distance, zero only for equal laws",
    "sliced-wasserstein": "mean transport distance along lines",
    "precision": "share of samples near real data (quality)",
    "recall": "share of real data near samples (diversity)",
    "density": "how densely real data surround samples (quality; 1 for equal laws)",
    "coverage": "share of real data with a sample close by (diversity)",
    "two-sample": "accuracy of a classifier that tells samples from real data (0.5 for equal laws)",
}


@dataclass(frozen=True)
class Measure:
    """A measure of the samples, of real data in their place (floor), and of a Gaussian fit (baseline)."""

    value: Estimate
    floor: Estimate
    baseline: float

    @property
    def excess(self) -> float:
        """How far the value is from the floor, in standard errors of their difference."""
        return (self.value.value - self.floor.value) / max(1e-12, (self.value.error**2 + self.floor.error**2) ** 0.5)


def measure(
    samples: Tensor, train: Tensor, held_out: Tensor, features: Features, *, seed: int = 0
) -> dict[str, Measure]:
    """All measures by name, of examples (N, *shape) in model units; as many of `train` as there are samples."""
    chosen = Rng(seed).fork("floor").uniform(len(train)).argsort()[: len(samples)]
    baseline = gaussian_fit(train, len(samples), seed)
    x, floor, simple, real = (features.of(side) for side in (samples, train[chosen], baseline, held_out))
    found = {}
    for name, metric in DISTANCES.items():
        found[name] = Measure(
            metrics.estimate(metric, x, real), metrics.estimate(metric, floor, real), metric(simple, real)
        )
    own, best, plain = shares(x, real), shares(floor, real), metrics.manifold(simple, real)
    found |= {name: Measure(own[name], best[name], getattr(plain, name)) for name in SHARES}
    tests = [metrics.two_sample_test(side, real, linear=True) for side in (x, floor, simple)]
    estimates = [Estimate(test.accuracy, test.error) for test in tests]
    found["two-sample"] = Measure(estimates[0], estimates[1], estimates[2].value)
    return found


def shares(x: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Precision, recall, density and coverage, from one look at the neighbours of each part."""
    whole, left = metrics.manifold(x, real), [metrics.manifold(*part) for part in metrics.subsets(x, real)]
    return {name: metrics.jackknife(getattr(whole, name), [getattr(part, name) for part in left]) for name in SHARES}


def gaussian_fit(train: Tensor, count: int, seed: int) -> Tensor:
    """Draws from N(mean, covariance) of the training examples, in at most 512 leading directions."""
    flat = train.flatten(1).double()
    mean = flat.mean(0)
    rank = min(512, *flat.shape)
    _, values, directions = (
        torch.svd_lowrank(flat - mean, q=rank, niter=2) if rank < min(flat.shape) else _svd(flat - mean)
    )
    noise = Rng(seed).fork("gaussian").normal(torch.empty(count, len(values), dtype=torch.float64))
    drawn = mean + noise * (values / max(1, len(flat) - 1) ** 0.5) @ directions.T
    return drawn.reshape(count, *train.shape[1:]).float()


def _svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    return u, s, v.T
