"""Work and free energy of a diffusion model: why many trajectories tell more than their mean.

For one datum x_0, the work W = log q(x_1 … x_T | x_0) − log p(x_0 … x_T) differs from path to path. Its mean is the
variational bound; exp(−W) averages to p(x_0) exactly, so that −log of that average finds the free-energy difference
ΔF = −log p(x_0) with paths whose every W may be wrong. With more steps the walk is closer to reversible, the work
narrows, and the mean comes down to ΔF. References: Jarzynski 1997, arXiv:cond-mat/9610209; Sohl-Dickstein et al. 2015.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Mixture
from reverie.likelihoods.importance import Importance, free_energy
from reverie.processes import Gaussian, VpCosine

COLOURS = ("#d1495b", "#b7791f", "#1f4e79", "#3a7d44")
STEPS = (4, 16, 64)


def jarzynski(*, paths: int = 4000, seed: int = 0) -> Figure:
    """The page: work of `paths` walks to one point of a 2-D mixture, in 4, 16 and 64 steps of fixed variance β."""
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64)
    stds = torch.tensor([0.3, 0.5], dtype=torch.float64)
    oracle = Mixture(Gaussian(VpCosine()), torch.tensor([0.4, 0.6], dtype=torch.float64), means, stds)
    x0 = torch.tensor([[-0.8, 0.2]], dtype=torch.float64)
    truth = -float(oracle.law().log_prob(x0))
    works = {}
    for steps in STEPS:
        likelihood = Importance(steps=steps, particles=1, v=1.0)
        works[f"{steps} steps"] = likelihood.works(oracle, x0.expand(paths, 2), rng=Rng(seed).fork(steps))[0]
    return work_distribution(works, truth)


def work_distribution(works: Mapping[str, Tensor], free_energy_difference: float | None = None) -> Figure:
    """Histograms of work W (N,) in nats by name with ΔF, and the estimate −log mean exp(−W) as paths are added."""
    figure = Figure((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    everything = torch.cat(list(works.values()))
    span = torch.quantile(everything[:100_000], torch.tensor([0.001, 0.98], dtype=everything.dtype)).tolist()
    edges = np.linspace(span[0] - 0.5, span[1] + 0.5, 80)
    for colour, (name, work) in zip(COLOURS, works.items(), strict=False):
        left.hist(work.numpy(), edges, density=True, histtype="step", color=colour, label=name)
        left.axvline(float(work.mean()), color=colour, linestyle=":", linewidth=1)
        counts = np.unique(np.geomspace(1, len(work), 40).astype(int))
        right.plot(counts, [average(work, int(k)) for k in counts], color=colour, label=name)
        right.axhline(float(work.mean()), color=colour, linestyle=":", linewidth=1)
    if free_energy_difference is not None:
        left.axvline(free_energy_difference, color="black", label="ΔF = −log p(x₀)")
        right.axhline(free_energy_difference, color="black", label="ΔF = −log p(x₀)")
    left.set(xlabel="work W of a path, nats (dotted: its mean, the bound)", ylabel="density")
    right.set(xlabel="paths K", ylabel="−log of the mean of K weights e^{−W}, nats", xscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure


def average(work: Tensor, count: int) -> float:
    """The K-path bound with K = `count`, averaged over the disjoint groups of the paths there are."""
    groups = len(work) // count
    return float(free_energy(work[: groups * count].reshape(groups, count).T).mean())
