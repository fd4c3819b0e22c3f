"""How far each method for inverse problems is from the exact posterior, whether its spread can be believed, its cost.

    python -m benchmarks.guidance                               the tables of docs/guidance.md
    python -m benchmarks.guidance --dims 16 --operator matrix --noise 0.3     one operator and noise level like yours
Problems are simulated: x* from a known mixture, y = A x* + noise, draws from each method, and the exact posterior.
  bias        energy distance E² of a method's draws to exact draws, in units of the posterior's own spread; 0 is exact
  coverage    how often x* lies in the central 50 % and 87.5 % of the draws; ranks: χ² p-value that they are uniform
Reference: Talts et al. 2018, arXiv:1804.06788 (ranks); Székely & Rizzo 2013 (distance).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import chisquare
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, Mixture
from reverie.guidance import (
    Dps,
    Mask,
    Matrix,
    MomentMatching,
    Observation,
    Operator,
    Particles,
    PiGdm,
    Projection,
    RePaint,
    Replacement,
    linear_posterior,
)
from reverie.metrics import energy_distance
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ancestral, Karras, trajectory
from reverie.training.smc import smc

RESULTS = Path(__file__).parent / "results"
PROCESS = Gaussian(VpLinear())
DRAWS, BINS = 63, 8
METHODS = ("replacement", "repaint", "projection", "dps", "pi-gdm", "moment-matching", "particles")


def mixture(dims: int, seed: int = 0) -> Mixture:
    """Four components of unequal weight and shape, about one apart."""
    means = Rng(seed).fork("means").normal(torch.empty(4, dims, dtype=torch.float64))
    means = 1.2 * means / means.norm(dim=1, keepdim=True) * dims**0.25
    stds = 0.2 + 0.4 * Rng(seed).fork("stds").uniform(4, dims)
    return Mixture(PROCESS, torch.tensor([0.4, 0.3, 0.2, 0.1]).double(), means, stds)


def operator(name: str, dims: int) -> Operator:
    """Half of the elements seen, or half as many random directions."""
    if name == "mask":
        return Mask(torch.arange(dims) % 2 == 0, (dims,))
    return Matrix.random(0.5, (dims,), seed=3)


def guided(method: str, data: Mixture, observation: Observation, std: float) -> Denoiser:
    made = {
        "replacement": lambda: Replacement(data, observation),
        "repaint": lambda: Replacement(data, observation),
        "projection": lambda: Projection(data, observation, data_std=std),
        "dps": lambda: Dps(data, observation),
        "pi-gdm": lambda: PiGdm(data, observation, data_std=std),
        "moment-matching": lambda: MomentMatching(data, observation, iterations=10),
        "particles": lambda: MomentMatching(data, observation, iterations=10),
    }
    return made[method]()


@torch.inference_mode()
def draws(method: str, data: Mixture, seen: Operator, y: Tensor, noise: float, *, steps: int) -> Tensor:
    """(N, DRAWS, D) by one method for observations y (N, M)."""
    count, dims = len(y), data.means.shape[1]
    std = float(data.law().std.mean())
    times = Karras(sigma_min=0.01).times(PROCESS, steps)
    many = Observation(seen, y.repeat_interleave(DRAWS, 0), noise)
    denoiser = guided(method, data, many, std)
    x1 = Rng(5).normal(torch.empty(count * DRAWS, dims, dtype=torch.float64))
    if method == "particles":
        outcome = smc(denoiser, (count, dims), times=times, rng=Rng(6), particles=Particles(DRAWS), x1=x1)
        return outcome.draw(Rng(7))
    sampler = RePaint(Ancestral(), 5) if method == "repaint" else Ancestral()
    *_, last = trajectory(denoiser, sampler, x1, times, rng=Rng(6))
    return last.x.reshape(count, DRAWS, dims)


def judged(x: Tensor, exact: Tensor, truth: Tensor) -> dict[str, float]:
    """Bias and calibration of draws x (N, L, D) beside exact draws, for the x* (N, D) behind the observations."""
    scale = exact.std(1, keepdim=True)
    finite = torch.isfinite(x).all(2).all(1)
    if not finite.all():
        x, exact, truth, scale = x[finite], exact[finite], truth[finite], scale[finite]
    ratio = x.shape[2] ** 0.5
    bias = [energy_distance(a / s / ratio, b / s / ratio) for a, b, s in zip(x, exact, scale, strict=True)]
    ranks = (x < truth[:, None]).sum(1)  # (N, D), 0 … L
    half, most = (((ranks > (1 - q) / 2 * DRAWS) & (ranks < (1 + q) / 2 * DRAWS)).double().mean() for q in (0.5, 0.875))
    found = torch.bincount((ranks[:, 0] * BINS // (DRAWS + 1)).clamp(max=BINS - 1), minlength=BINS)
    return {
        "bias": float(torch.tensor(bias).mean()),
        "se": float(torch.tensor(bias).std() / len(bias) ** 0.5),
        "cover50": float(half),
        "cover87": float(most),
        "ranks_p": float(chisquare(found.numpy()).pvalue),
        "finite": float(finite.double().mean()),
    }


def table(dims: int, name: str, noise: float, *, problems: int = 100, steps: int = 40) -> list[dict[str, Any]]:
    """One row a method, and the exact posterior against itself."""
    data, seen = mixture(dims), operator(name, dims)
    truth = data.law().sample(Rng(1).at(0)) if problems == 1 else prior(data, problems)
    clean = seen.apply(truth)
    y = clean + noise * Rng(2).normal(clean)
    y = seen.apply(y) if name == "mask" else y
    posterior = linear_posterior(data, Observation(seen, y, noise))
    exact, again = posterior.sample(DRAWS, Rng(3)), posterior.sample(DRAWS, Rng(4))
    rows = [{"method": "exact", "seconds": 0.0, **judged(again, exact, truth)}]
    for method in METHODS:
        began = time.perf_counter()
        x = draws(method, data, seen, y, noise, steps=steps)
        rows.append({"method": method, "seconds": time.perf_counter() - began, **judged(x, exact, truth)})
    for row in rows:
        row.update(dims=dims, operator=name, noise=noise)
        print("{dims:3d} {operator:7s} {noise:5.2f}  {method:16s} bias {bias:7.4f} ± {se:.4f}  cover {cover50:.2f} "
              "{cover87:.2f}  ranks p {ranks_p:.3f}  {seconds:5.1f} s".format(**row), flush=True)  # fmt: skip
    return rows


def prior(data: Mixture, count: int) -> Tensor:
    """x* (N, D) from the mixture."""
    k = torch.searchsorted(data.log_weights.exp().cumsum(0), Rng(8).uniform(count)).clamp(max=3)
    return data.means[k] + data.stds[k] * Rng(9).normal(data.means[k])


def exactness(dims: int, *, steps: int, runs: int = 3, particles: int = 10_000, noise: float = 0.2) -> dict[str, Any]:
    """10,000 particles for one observation, `runs` times over: their energy distance to as many exact draws.

    Beside it the standard deviation of that between two exact samples, from twenty pairs of a tenth of the size, for
    it falls as 1/n; every run has fresh exact draws.
    """
    data, seen = mixture(dims), operator("matrix", dims)
    y = seen.apply(prior(data, 1)) + noise * Rng(2).normal(seen.apply(prior(data, 1)))
    observation = Observation(seen, y, noise)
    posterior = linear_posterior(data, observation)
    guided, times = MomentMatching(data, observation, iterations=10), Karras(sigma_min=0.01).times(PROCESS, steps)
    found, outcomes = [], []
    for run in range(runs):
        x1 = Rng(50 + run).normal(torch.empty(particles, dims, dtype=torch.float64))
        outcome = smc(guided, (1, dims), times=times, rng=Rng(60 + run), particles=Particles(particles), x1=x1)
        exact = posterior.sample(particles, Rng(30 + run))[0]
        found.append(energy_distance(outcome.draw(Rng(7))[0], exact))
        outcomes.append(outcome)
    small = particles // 10
    pairs = [posterior.sample(2 * small, Rng(20 + i))[0] for i in range(20)]
    spread = torch.tensor([energy_distance(p[:small], p[small:]) for p in pairs]).std() / 10
    row = {
        "dims": dims,
        "steps": steps,
        "distances": found,
        "noise_of_exact": float(spread),
        "effective": sum(float(o.sizes[-1]) for o in outcomes) / runs,
        "log_evidence": [float(o.log_evidence) for o in outcomes],
        "log_evidence_exact": float(posterior.log_evidence),
    }
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="*", default=[2, 16])
    parser.add_argument("--operator", nargs="*", choices=["mask", "matrix"], default=["mask", "matrix"])
    parser.add_argument("--noise", type=float, nargs="*", default=[0.05, 0.2, 1.0])
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--particles", type=int, nargs="*", default=[100, 200], help="steps of 10,000 particles")
    parser.add_argument("--out", type=Path, default=RESULTS / "guidance.json")
    arguments = parser.parse_args()
    rows = [
        row
        for dims in arguments.dims
        for name in arguments.operator
        for noise in arguments.noise
        for row in table(dims, name, noise, problems=arguments.problems, steps=arguments.steps)
    ]
    large = [exactness(dims, steps=steps) for dims in arguments.dims for steps in arguments.particles]
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({"methods": rows, "particles": large}, indent=1) + "\n")


if __name__ == "__main__":
    main()
