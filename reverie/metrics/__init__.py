"""Measures of samples against data, on plain tensors: distances between laws, quality and diversity, copies."""

from reverie.metrics.columns import columns
from reverie.metrics.energy import energy_distance
from reverie.metrics.frechet import frechet_distance
from reverie.metrics.interval import Estimate, estimate, jackknife, subsets
from reverie.metrics.kernel import kernel_distance
from reverie.metrics.manifold import Manifold, manifold
from reverie.metrics.memorisation import copy_shares, nearest
from reverie.metrics.modes import Modes, modes
from reverie.metrics.two_sample import TwoSample, two_sample_test
from reverie.metrics.wasserstein import sliced_wasserstein

__all__ = [
    "Estimate",
    "Manifold",
    "Modes",
    "TwoSample",
    "columns",
    "copy_shares",
    "energy_distance",
    "estimate",
    "frechet_distance",
    "jackknife",
    "kernel_distance",
    "manifold",
    "modes",
    "nearest",
    "sliced_wasserstein",
    "subsets",
    "two_sample_test",
]
