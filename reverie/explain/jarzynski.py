"""Work and free energy of a diffusion model: why many trajectories tell more than their mean.

For one datum x_0, the work W = log q(x_1 … x_T | x_0) − log p(x_0 … x_T) differs from path to path. Its mean is the
variational bound; exp(−W) averages to p(x_0) exactly, so that −log of that average finds the free-energy difference
ΔF = −log p(x_0) with paths whose every W may be wrong. p is the model's law with its T steps; with more steps the walk
is closer to reversible, the work narrows, and the mean comes down to ΔF.
References: Jarzynski 1997, arXiv:cond-mat/9610209; Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import GaussianData
from reverie.explain.page import Page
from reverie.likelihoods.importance import Importance, free_energy, free_energy_error
from reverie.processes import Gaussian, VpCosine

COLOURS = ("#d1495b", "#b7791f", "#1f4e79", "#3a7d44")
STEPS = (4, 16, 64)


def jarzynski(*, paths: int = 4000, seed: int = 0) -> Page:
    """Work of `paths` walks to one point of 2-D normal data, in 4, 16 and 64 steps of fixed variance β."""
    mean, std = torch.tensor([-0.5, 0.5], dtype=torch.float64), torch.tensor([0.3, 0.6], dtype=torch.float64)
    oracle = GaussianData(Gaussian(VpCosine()), mean, std)
    x0 = torch.tensor([[-0.4, 0.8]], dtype=torch.float64)
    works, differences, numbers = {}, {}, {}
    for steps in STEPS:
        likelihood = Importance(steps=steps, particles=1, v=1.0)
        name = f"{steps} steps"
        work = works[name] = likelihood.works(oracle, x0.expand(paths, 2), rng=Rng(seed).fork(steps))[0]
        difference = differences[name] = -float(chain_law(oracle, steps, v=1.0).log_prob(x0))
        numbers[f"{name}: mean work (the bound), nats"] = float(work.mean())
        numbers[f"{name}: free energy from all paths, nats"] = float(free_energy(work[:, None])[0])
        numbers[f"{name}: its standard error"] = float(free_energy_error(work[:, None])[0])
        numbers[f"{name}: ΔF = −log p(x₀) in closed form"] = difference
    text = (
        "The work W of a path, log q(path | x₀) − log p(path, x₀), is above −log p(x₀) on average: the variational\n"
        "bound. exp(−W) averages to p(x₀) exactly (Jarzynski), so many paths find what each alone misses. More steps\n"
        "waste less work: the histogram narrows, and the bound meets the free energy."
    )
    return Page("Work and free energy", text, work_distribution(works, differences), numbers)


def chain_law(oracle: GaussianData, steps: int, *, v: float) -> Normal:
    """The law of x_0 under the reverse chain itself, in closed form: each step is linear with normal noise.

        x_s = c_0 (m + k (x_t − α m)) + c_t x_t + z,   z ~ N(0, β^v β̃^(1−v)),   k = α std²/(α² std² + σ²)
    and the last step draws from the posterior. A batch of one; not the data's own law until T → ∞.
    """
    process, schedule = oracle.process, oracle.process.schedule
    mean, variance = torch.zeros_like(oracle.mean), torch.full_like(oracle.std, float(process.prior((1,)).std) ** 2)
    for i in range(steps, 0, -1):
        t, s = i / steps, (i - 1) / steps
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha * oracle.std**2 / (alpha**2 * oracle.std**2 + sigma**2)
        c0, ct, std = process.bridge_coefficients(s, t) if s > 0 else (1.0, 0.0, 0.0)
        narrow = oracle.std * sigma / (alpha**2 * oracle.std**2 + sigma**2) ** 0.5
        spread = process.posterior_std(v, s, t) if s > 0 else narrow
        slope = c0 * gain + ct
        mean = slope * mean + c0 * (1 - gain * alpha) * oracle.mean
        variance = slope**2 * variance + std**2 + (c0 * spread) ** 2
    return Normal(mean[None], variance.sqrt()[None])


def work_distribution(works: Mapping[str, Tensor], differences: Mapping[str, float]) -> Figure:
    """Histograms of work W (N,) in nats by name, and the estimate −log mean exp(−W) as paths are added.

    Dotted: the mean work. Dashed: the free-energy difference ΔF where `differences` knows it.
    """
    figure = Figure((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    everything = torch.cat(list(works.values()))
    span = torch.quantile(everything[:100_000], torch.tensor([0.002, 0.995], dtype=everything.dtype)).tolist()
    edges = np.linspace(span[0] - 0.5, span[1] + 0.5, 80)
    for colour, (name, work) in zip(COLOURS, works.items(), strict=False):
        left.hist(work.numpy(), edges, density=True, histtype="step", color=colour, label=name)
        counts = np.unique(np.geomspace(1, len(work), 40).astype(int))
        right.plot(counts, [average(work, int(k)) for k in counts], color=colour, label=name)
        left.axvline(float(work.mean()), color=colour, linestyle=":", linewidth=1)
        right.axhline(float(work.mean()), color=colour, linestyle=":", linewidth=1)
        if name in differences:
            left.axvline(differences[name], color=colour, linestyle="--", linewidth=1)
            right.axhline(differences[name], color=colour, linestyle="--", linewidth=1)
    left.set(xlabel="work W of a path, nats (dotted: mean; dashed: ΔF)", ylabel="density")
    right.set(xlabel="paths K", ylabel="−log of the mean of K weights exp(−W), nats", xscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure


def average(work: Tensor, count: int) -> float:
    """The K-path bound with K = `count`, averaged over the disjoint groups of the paths there are."""
    groups = len(work) // count
    return float(free_energy(work[: groups * count].reshape(groups, count).T).mean())
