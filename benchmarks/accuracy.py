"""Every sampler beside diffusers' schedulers, on exact denoisers: how far from the exact end point N evaluations leave.

    python -m benchmarks.accuracy            writes benchmarks/results/accuracy.json and .md
    python -m benchmarks.accuracy --quick    a first look: few starts, few budgets

Oracles: Gaussian mixtures in 2 and 8 dimensions (data standard deviation about 0.5), DDPM's linear schedule, T = 1000.
Deterministic samplers: root mean square distance per coordinate to the exact end point, from the same noise. All:
sliced Wasserstein-2 distance to exact samples, of each sampler's best option, beside the floor between two exact sets.
Each sampler is shown under the best of its grids (diffusers: spacings), chosen per cell on the same starts.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Mixture
from reverie.processes import Gaussian, LinearBeta
from reverie.samplers import (
    Adams,
    AdamsMoulton,
    Ancestral,
    Angle,
    Churn,
    Ddim,
    Deis,
    DpmMultistep,
    EulerMaruyama,
    Heun,
    SdeDpm,
    Uniform,
    UniPc,
    tune,
)
from reverie.samplers.grids import Karras, LogSnr
from reverie.samplers.ode import Euler
from reverie.samplers.singlestep import DpmSinglestep, DpmSolver
from reverie.samplers.tuning import SOLVERS, distance, end_point, reference, steps_for, survey

try:
    from benchmarks import peers
except ImportError:
    peers = None

BUDGETS = (5, 8, 10, 15, 20, 30, 50, 100)
TUNED = (5, 8, 10, 15)
RESULTS = Path(__file__).parent / "results" / "accuracy.json"
MORE = (Euler(), DpmSolver(2), DpmSolver(3), DpmSinglestep(2), DpmSinglestep(3))
# Beyond 20 evaluations only methods that can still win are tried, which keeps the benchmark to minutes.
LONG = (AdamsMoulton(2), AdamsMoulton(3), Adams(4), UniPc(3), DpmMultistep(3), Deis(3), Heun(), Euler())
NOISY = (Ancestral(v=0.0), Ancestral(v=1.0), Ddim(eta=1.0), EulerMaruyama(), SdeDpm(), SdeDpm(eta=0.5), Churn())


def oracle(dimensions: int) -> Mixture:
    """Six components with unequal weights, centred, data standard deviation 0.5 a coordinate."""
    means = Rng(dimensions).fork("means").normal(torch.empty(6, dimensions).double())
    weights = torch.tensor([0.3, 0.2, 0.18, 0.14, 0.1, 0.08]).double()
    means = means - (weights[:, None] * means).sum(0)
    means = means * 0.45 / (weights[:, None] * means**2).sum(0).mean().sqrt()
    stds = torch.tensor([0.1, 0.15, 0.2, 0.22, 0.25, 0.3]).double()
    return Mixture(Gaussian(LinearBeta()), weights, means, stds)


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 128) -> float:
    """√ of the mean over directions of the squared quantile distance."""
    directions = Rng(99).normal(torch.empty(projections, a.shape[1]).double())
    directions = directions / directions.norm(dim=1, keepdim=True)
    sorted_a, sorted_b = ((x.double() @ directions.T).sort(0).values for x in (a, b))
    return float((sorted_a - sorted_b).square().mean().sqrt())


def draws(denoiser: Mixture, count: int, seed: int) -> Tensor:
    law = denoiser.law()
    wide = type(law)(law.log_weights.expand(count, -1), law.means.expand(count, -1, -1), law.stds)
    return wide.sample(Rng(seed))


def deterministic(denoiser: Mixture, x1: Tensor, truth: Tensor, budget: int) -> Iterator[dict[str, Any]]:
    best: dict[str, Any] = {}
    for choice in survey(denoiser, x1, truth, budget, solvers=(*SOLVERS, *MORE) if budget <= 20 else LONG):
        name = repr(choice.sampler)
        if name not in best or choice.error < best[name].error:
            best[name] = choice
    for name, choice in best.items():
        yield {"library": "reverie", "sampler": name, "options": choice.label, "rms": choice.error, "choice": choice}


def peers_deterministic(denoiser: Mixture, x1: Tensor, truth: Tensor, budget: int) -> Iterator[dict[str, Any]]:
    best: dict[str, dict[str, Any]] = {}
    for name, kind, options in peers.candidates():
        try:
            scheduler = peers.make(kind, options)
            steps = peers.steps_for(scheduler, budget)
            end = peers.run(denoiser, peers.make(kind, options), steps, x1)
        except (ValueError, IndexError, AssertionError, RuntimeError, TypeError):
            continue
        row = {
            "library": "diffusers",
            "sampler": name,
            "options": f"{kind} {options}",
            "rms": distance(end, truth),
            "end": end,
        }
        if name not in best or row["rms"] < best[name]["rms"]:
            best[name] = row
    yield from best.values()


def noisy(denoiser: Mixture, x1: Tensor, exact: Tensor, budget: int) -> Iterator[dict[str, Any]]:
    """Stochastic samplers by sliced Wasserstein distance, the best grid of three kinds."""
    for sampler in NOISY:
        scores = {}
        for grid in (Uniform(), Angle(1.5), Angle(2.5), LogSnr(0.01, 20.0), Karras(7.0, 0.01, 20.0)):
            times = grid.times(denoiser.process, steps_for(sampler, budget))
            scores[repr(grid)] = sliced_wasserstein(end_point(denoiser, sampler, x1, times), exact)
        grid = min(scores, key=scores.__getitem__)
        yield {"library": "reverie", "sampler": repr(sampler), "options": grid, "sliced_wasserstein": scores[grid]}
    for name, kind, options in peers.stochastic() if peers else ():
        end = peers.run(denoiser, peers.make(kind, options), budget, x1)
        row = {"library": "diffusers", "sampler": name, "options": f"{kind} {options}"}
        yield {**row, "sliced_wasserstein": sliced_wasserstein(end, exact)}


def measure(dimensions: int, budgets: tuple[int, ...], count: int) -> dict[str, Any]:
    denoiser = oracle(dimensions)
    x1 = Rng(1).normal(torch.empty(count, dimensions).double())
    truth, exact = reference(denoiser, x1, steps=150), draws(denoiser, count, 2)
    rows = []
    for budget in budgets:
        found = list(deterministic(denoiser, x1, truth, budget))
        found += list(peers_deterministic(denoiser, x1, truth, budget)) if peers else []
        if budget in TUNED:
            starts = Rng(77).normal(torch.empty(count, dimensions).double())
            choice, _ = tune(denoiser, starts, budget)
            error = distance(end_point(denoiser, choice.sampler, x1, choice.times), truth)
            found.append(
                {
                    "library": "reverie",
                    "sampler": "tuned",
                    "options": repr(choice.sampler),
                    "rms": error,
                    "choice": choice,
                }
            )
        for row in found:
            choice, end = row.pop("choice", None), row.pop("end", None)
            end = end_point(denoiser, choice.sampler, x1, choice.times) if choice else end
            row["sliced_wasserstein"] = sliced_wasserstein(end, exact) if torch.isfinite(end).all() else None
        found += list(noisy(denoiser, x1, exact, budget))
        rows += [{"evaluations": budget, **row} for row in found]
        print(dimensions, budget, summary(found), flush=True)
    floor = sliced_wasserstein(draws(denoiser, count, 3), exact)
    return {
        "dimensions": dimensions,
        "starts": count,
        "floor": floor,
        "ode": sliced_wasserstein(truth, exact),
        "rows": rows,
    }


def summary(rows: list[dict[str, Any]]) -> str:
    """The best of each side, by distance to the exact end point."""
    parts = []
    for label, keep in (
        ("reverie", lambda r: r["library"] == "reverie" and r["sampler"] != "tuned"),
        ("diffusers", lambda r: r["library"] == "diffusers"),
        ("tuned", lambda r: r["sampler"] == "tuned"),
    ):
        best = min((r for r in rows if keep(r) and "rms" in r), key=lambda r: r["rms"], default=None)
        if best:
            parts.append(f"{label} {best['rms']:.4f} ({best['sampler']}; {best['options']})")
    return " | ".join(parts)


def best_by_sampler(rows: list[dict[str, Any]], key: str) -> dict[tuple[str, str], dict[int, float]]:
    table: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row.get(key) is not None and row[key] < 10:
            table.setdefault((row["library"], row["sampler"]), {})[row["evaluations"]] = row[key]
    return dict(sorted(table.items(), key=lambda item: (item[0][0] != "reverie", item[0][1] != "tuned", item[0][1])))


def markdown(result: dict[str, Any]) -> str:
    """The tables of the documentation: a row for each sampler, a column for each number of evaluations."""
    parts = []
    for o in result["oracles"]:
        for key, title in (("rms", "distance to the exact end point"), ("sliced_wasserstein", "sliced Wasserstein-2")):
            note = f"; floor between two exact sets {o['floor']:.4f}, exact ODE {o['ode']:.4f}" if key != "rms" else ""
            head = f"**{o['dimensions']} dimensions, {title}** ({o['starts']} starts{note})\n\n| | "
            lines = [head + " | ".join(map(str, BUDGETS)) + " |", "|---" * (len(BUDGETS) + 1) + "|"]
            table = best_by_sampler(o["rows"], key)
            for side in ("reverie", "diffusers"):
                rows = [v for (library, name), v in table.items() if library == side and name != "tuned"]
                least = [min((r[b] for r in rows if b in r), default=None) for b in BUDGETS]
                lines.append(f"| **best of {side}** | " + " | ".join(f"**{v:.2g}**" if v else "" for v in least) + " |")
            for (library, name), values in table.items():
                cells = " | ".join(f"{values[b]:.2g}" if b in values else "" for b in BUDGETS)
                lines.append(f"| {library}: {name} | {cells} |")
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 starts, 5 to 20 evaluations; nothing is written")
    parser.add_argument("--starts", type=int, default=800, help="starts per oracle")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    budgets, count = (BUDGETS[:5], 500) if arguments.quick else (BUDGETS, arguments.starts)
    with torch.inference_mode():
        oracles = [measure(dimensions, budgets, count) for dimensions in (2, 8)]
    machine = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    versions = {**machine, "diffusers": peers.VERSION if peers else None}
    result = {"versions": versions, "oracles": oracles}
    if not arguments.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        RESULTS.with_suffix(".md").write_text(markdown(result))


if __name__ == "__main__":
    main()
