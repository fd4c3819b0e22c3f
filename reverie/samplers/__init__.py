"""Samplers (how to go from t to s) and time grids (where the steps are spent)."""

from reverie.samplers.ancestral import Ancestral
from reverie.samplers.base import Sampler, Step, chunk_size, sample, trajectory
from reverie.samplers.ddim import Ddim
from reverie.samplers.grids import Grid, Karras, Leading, LogSnr, Quadratic, Trailing, Uniform

__all__ = [
    "Ancestral",
    "Ddim",
    "Grid",
    "Karras",
    "Leading",
    "LogSnr",
    "Quadratic",
    "Sampler",
    "Step",
    "Trailing",
    "Uniform",
    "chunk_size",
    "sample",
    "trajectory",
]
