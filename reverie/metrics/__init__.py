"""Measures of samples against data, on plain tensors: distances between laws, quality and diversity, copies."""

from reverie.metrics.columns import chance, columns
from reverie.metrics.energy import energy_distance, nearness
from reverie.metrics.frechet import frechet_distance
from reverie.metrics.interval import GROUPS, Estimate, estimate, jackknife, subsets
from reverie.metrics.kernel import cubic, kernel_distance
from reverie.metrics.manifold import Manifold, manifold
from reverie.metrics.memorisation import Copies, copy_shares, nearest
from reverie.metrics.modes import Modes, modes
from reverie.metrics.pairs import Cloud, discrepancy
from reverie.metrics.two_sample import TwoSample, two_sample_test
from reverie.metrics.wasserstein import sliced_wasserstein

__all__ = [
    "GROUPS",
    "Cloud",
    "Copies",
    "Estimate",
    "Manifold",
    "Modes",
    "TwoSample",
    "chance",
    "columns",
    "copy_shares",
    "cubic",
    "discrepancy",
    "energy_distance",
    "estimate",
    "frechet_distance",
    "jackknife",
    "kernel_distance",
    "manifold",
    "modes",
    "nearest",
    "nearness",
    "sliced_wasserstein",
    "subsets",
    "two_sample_test",
]
