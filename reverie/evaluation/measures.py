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
from reverie.metrics import Cloud, Estimate, Manifold

Metric = Callable[[Tensor, Tensor], float]
PAIRS = {"kernel": metrics.cubic, "energy": metrics.nearness}
DISTANCES: dict[str, Metric] = {
    "frechet": metrics.frechet_distance,
    "sliced-wasserstein": metrics.sliced_wasserstein,
}
SHARES = ("precision", "recall", "density", "coverage")
PAIRED = 10_000  # examples on each side of which all pairs are taken, at most
NEIGHBOURS = 5000  # examples on each side among which nearest neighbours are looked for, at most
LEADING = 512  # directions of the Gaussian fit, at most
ORDER = ("frechet", "kernel", "energy", "sliced-wasserstein", *SHARES, "two-sample")
# name → (what it is called, what it says)
MEANING = {
    "frechet": ("Fréchet distance", "between Gaussian fits; lower is better"),
    "kernel": ("Kernel distance", "zero on average for equal laws; lower is better"),
    "energy": ("Energy distance", "zero only for equal laws; lower is better"),
    "sliced-wasserstein": ("Sliced Wasserstein distance", "mean transport distance along lines; lower is better"),
    "precision": ("Precision", "share of samples that look like real data: quality"),
    "recall": ("Recall", "share of real data that look like samples: diversity"),
    "density": ("Density", "how densely real data surround the samples: quality; 1 for equal laws"),
    "coverage": ("Coverage", "share of real data with a sample close by: diversity"),
    "two-sample": ("Told apart", "how often a classifier tells samples from real data; 0.5 is a guess"),
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
    for name, kernel in PAIRS.items():
        clouds = (Cloud(side[:PAIRED], kernel, groups=metrics.GROUPS) for side in (x, floor, simple))
        beside = Cloud(real[:PAIRED], kernel, groups=metrics.GROUPS)
        own, best, plain = (metrics.discrepancy(cloud, beside) for cloud in clouds)
        found[name] = Measure(own, best, plain.value)
    of_x, of_floor = (_shares(side[:NEIGHBOURS], real[:NEIGHBOURS]) for side in (x, floor))
    plain_shares = metrics.manifold(simple[:NEIGHBOURS], real[:NEIGHBOURS])
    found |= {name: Measure(of_x[name], of_floor[name], getattr(plain_shares, name)) for name in SHARES}
    tests = [metrics.two_sample_test(side, real, linear=True) for side in (x, floor, simple)]
    estimates = [Estimate(test.accuracy, test.error) for test in tests]
    found["two-sample"] = Measure(estimates[0], estimates[1], estimates[2].value)
    return {name: found[name] for name in ORDER}


def _shares(x: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Precision, recall, density and coverage, from one look at the neighbours of each part."""
    parts: list[Manifold] = [metrics.manifold(*part) for part in metrics.subsets(x, real)]
    whole = metrics.manifold(x, real)
    return {name: metrics.jackknife(getattr(whole, name), [getattr(p, name) for p in parts]) for name in SHARES}


def gaussian_fit(train: Tensor, count: int, seed: int) -> Tensor:
    """Draws from N(mean, covariance) of the training examples, in at most `LEADING` directions."""
    flat = train.flatten(1).to(torch.float64, copy=True)
    mean = flat.mean(0)
    flat -= mean
    values, directions = _leading(flat, seed) if min(flat.shape) > LEADING else _svd(flat)
    spreads = values / max(1, len(flat) - 1) ** 0.5
    del flat  # as large as what is drawn now
    noise = Rng(seed).fork("gaussian").normal(torch.empty(count, len(values), dtype=torch.float64))
    return ((noise * spreads) @ directions.T).add_(mean).reshape(count, *train.shape[1:]).float()


def _leading(x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The leading singular values and directions of x (N, D), by subspace iteration from the seed's noise.

    Reference: Halko, Martinsson & Tropp 2011, arXiv:0909.4061, algorithm 4.4.
    """
    basis = Rng(seed).fork("subspace").normal(torch.empty(x.shape[1], LEADING, dtype=x.dtype))
    for _ in range(3):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    within = x @ basis
    squares, turn = torch.linalg.eigh(within.T @ within)
    return squares.clamp_min(0).sqrt(), basis @ turn


def _svd(x: Tensor) -> tuple[Tensor, Tensor]:
    _, s, v = torch.linalg.svd(x, full_matrices=False)
    return s, v.T
