"""Samplers (how to go from t to s) and time grids (where the steps are spent)."""

from reverie.samplers.adaptive import Adaptive
from reverie.samplers.ancestral import Ancestral
from reverie.samplers.base import Sampler, Step, chunk_size, prior, sample, trajectory
from reverie.samplers.brownian import BrownianPath, Refinable
from reverie.samplers.corrected import AdamsMoulton, UniPc
from reverie.samplers.ddim import Ddim
from reverie.samplers.grids import Angle, Fitted, Grid, Karras, Leading, LogSnr, Quadratic, Trailing, Uniform
from reverie.samplers.langevin import AnnealedLangevin, PredictorCorrector, langevin, metropolis_langevin
from reverie.samplers.latent import encode, interpolate
from reverie.samplers.multistep import Adams, Deis, DpmMultistep, DpmNoise, Learned
from reverie.samplers.ode import Euler, Heun, RungeKutta
from reverie.samplers.sde import Churn, EulerMaruyama, ReverseDiffusion, SdeDpm
from reverie.samplers.singlestep import DpmSinglestep, DpmSolver
from reverie.samplers.tuning import tune

__all__ = [
    "Adams",
    "AdamsMoulton",
    "Adaptive",
    "Ancestral",
    "Angle",
    "AnnealedLangevin",
    "BrownianPath",
    "Churn",
    "Ddim",
    "Deis",
    "DpmMultistep",
    "DpmNoise",
    "DpmSinglestep",
    "DpmSolver",
    "Euler",
    "EulerMaruyama",
    "Fitted",
    "Grid",
    "Heun",
    "Karras",
    "Leading",
    "Learned",
    "LogSnr",
    "PredictorCorrector",
    "Quadratic",
    "Refinable",
    "ReverseDiffusion",
    "RungeKutta",
    "Sampler",
    "SdeDpm",
    "Step",
    "Trailing",
    "UniPc",
    "Uniform",
    "chunk_size",
    "encode",
    "interpolate",
    "langevin",
    "metropolis_langevin",
    "prior",
    "sample",
    "trajectory",
    "tune",
]
