"""Samplers (how to go from t to s) and time grids (where the steps are spent)."""

from reverie.samplers.ancestral import Ancestral
from reverie.samplers.base import Sampler, Step, chunk_size, prior, sample, trajectory
from reverie.samplers.corrected import AdamsMoulton, UniPc
from reverie.samplers.ddim import Ddim
from reverie.samplers.grids import Grid, Karras, Leading, LogSnr, Quadratic, Trailing, Uniform
from reverie.samplers.multistep import Adams, Deis, DpmMultistep, DpmNoise
from reverie.samplers.ode import Euler, Heun, RungeKutta
from reverie.samplers.singlestep import DpmSinglestep, DpmSolver

__all__ = [
    "Adams",
    "AdamsMoulton",
    "Ancestral",
    "Ddim",
    "Deis",
    "DpmMultistep",
    "DpmNoise",
    "DpmSinglestep",
    "DpmSolver",
    "Euler",
    "Grid",
    "Heun",
    "Karras",
    "Leading",
    "LogSnr",
    "Quadratic",
    "RungeKutta",
    "Sampler",
    "Step",
    "Trailing",
    "UniPc",
    "Uniform",
    "chunk_size",
    "prior",
    "sample",
    "trajectory",
]
