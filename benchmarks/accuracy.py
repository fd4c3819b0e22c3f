"""Every sampler beside diffusers' schedulers, on exact denoisers: how far from the exact end point N evaluations leave.

    python -m benchmarks.accuracy            writes benchmarks/results/accuracy.json and .md
    python -m benchmarks.accuracy --quick    a first look: few starts, few budgets

Oracles: Gaussian mixtures in 2 and 8 dimensions (data standard deviation about 0.5), DDPM's linear schedule, T = 1000.
Deterministic samplers: root mean square distance per coordinate to the exact end point, from the same noise. All:
sliced Wasserstein-2 distance of more samples to exact ones, beside the floor between two exact sets.
Each sampler is shown under the best of its grids (diffusers: spacings and ladders), chosen per cell: by the distance to
the exact end points, or for samplers that draw noise by the distance of few samples. `tuned` is fitted to other starts.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import multiprocessing
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
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
from reverie.samplers.tuning import SOLVERS, Choice, distance, end_point, reference, steps_for, survey

try:
    from benchmarks import peers
except ImportError:
    peers = None

BUDGETS = (5, 8, 10, 15, 20, 30, 50, 100)
TUNED, TUNED_ON = (5, 8, 10, 15), 6400
RESULTS = Path(__file__).parent / "results" / "accuracy.json"
MORE = (Euler(), DpmSolver(2), DpmSolver(3), DpmSinglestep(2), DpmSinglestep(3))
# Beyond 20 evaluations only methods that can still win are tried, which keeps the benchmark to minutes.
LONG = (*(AdamsMoulton(k) for k in (2, 3, 4)), Adams(4), UniPc(3), DpmMultistep(3), Deis(3), Heun(), Euler())
NOISY = (Ancestral(v=0.0), Ancestral(v=1.0), Ddim(eta=1.0), EulerMaruyama(), SdeDpm(), SdeDpm(eta=0.5), Churn())


def oracle(dimensions: int) -> Mixture:
    """Six components with unequal weights, centred, data standard deviation 0.5 a coordinate."""
    means = Rng(dimensions).fork("means").normal(torch.empty(6, dimensions).double())
    weights = torch.tensor([0.3, 0.2, 0.18, 0.14, 0.1, 0.08]).double()
    means = means - (weights[:, None] * means).sum(0)
    means = means * 0.45 / (weights[:, None] * means**2).sum(0).mean().sqrt()
    stds = torch.tensor([0.1, 0.15, 0.2, 0.22, 0.25, 0.3]).double()
    return Mixture(Gaussian(LinearBeta()), weights, means, stds)


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 64) -> float:
    """√ of the mean over directions of the squared quantile distance."""
    directions = Rng(99).normal(torch.empty(projections, a.shape[1]).double())
    directions = directions / directions.norm(dim=1, keepdim=True)
    sorted_a, sorted_b = ((x.double() @ directions.T).sort(0).values for x in (a, b))
    return float((sorted_a - sorted_b).square().mean().sqrt())


def draws(denoiser: Mixture, count: int, seed: int) -> Tensor:
    law = denoiser.law()
    wide = type(law)(law.log_weights.expand(count, -1), law.means.expand(count, -1, -1), law.stds)
    return wide.sample(Rng(seed))


@dataclass(frozen=True)
class Entry:
    """A sampler under one of its options: its walk from x_1 to the end, and the error it was chosen by."""

    library: str
    sampler: str
    options: str
    walk: Callable[[Tensor], Tensor]
    error: float


def ours(choice: Choice, denoiser: Mixture, name: str | None = None) -> Entry:
    walk = functools.partial(end_point, denoiser, choice.sampler, times=choice.times)
    return Entry("reverie", name or repr(choice.sampler), choice.label, walk, choice.error)


def theirs(denoiser: Mixture, name: str, kind: str, options: dict[str, Any], steps: int) -> Entry:
    def walk(x1: Tensor) -> Tensor:
        return peers.run(denoiser, peers.make(kind, options), steps, x1)

    return Entry("diffusers", name, f"{kind} {options}", walk, math.inf)


def deterministic(denoiser: Mixture, x1: Tensor, truth: Tensor, budget: int) -> Iterator[Entry]:
    """Samplers of the ODE; the error is the root mean square distance to the exact end points."""
    for choice in survey(denoiser, x1, truth, budget, solvers=(*SOLVERS, *MORE) if budget <= 20 else LONG):
        yield ours(choice, denoiser)
    for name, kind, options in peers.candidates() if peers else ():
        try:
            entry = theirs(denoiser, name, kind, options, peers.steps_for(peers.make(kind, options), budget))
            yield replace(entry, error=distance(entry.walk(x1), truth))
        except (ValueError, IndexError, AssertionError, RuntimeError, TypeError):
            continue


def stochastic(denoiser: Mixture, x1: Tensor, exact: Tensor, budget: int) -> Iterator[Entry]:
    """Samplers that draw noise; the error is the sliced Wasserstein distance of few samples."""
    grids = (Uniform(), Angle(1.5), Angle(2.5), LogSnr(0.01, 20.0), Karras(7.0, 0.01, 20.0))
    for sampler, grid in itertools.product(NOISY, grids):
        times = tuple(grid.times(denoiser.process, steps_for(sampler, budget)))
        entry = ours(Choice(sampler, times, math.inf, repr(grid)), denoiser)
        yield replace(entry, error=sliced_wasserstein(entry.walk(x1), exact))
    for name, kind, options in peers.stochastic() if peers else ():
        entry = theirs(denoiser, name, kind, options, budget)
        yield replace(entry, error=sliced_wasserstein(entry.walk(x1), exact))


def best_options(entries: Iterable[Entry]) -> list[Entry]:
    """Each sampler under its best option."""
    best: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        key = entry.library, entry.sampler
        if math.isfinite(entry.error) and (key not in best or entry.error < best[key].error):
            best[key] = entry
    return list(best.values())


def tuned(denoiser: Mixture, x1: Tensor, truth: Tensor, budget: int) -> Entry:
    """`tune` on starts of its own."""
    choice, _ = tune(denoiser, starts(TUNED_ON, denoiser, 77), budget, rounds=16)
    entry = ours(choice, denoiser, "tuned")
    return replace(entry, error=distance(entry.walk(x1), truth))


def starts(count: int, denoiser: Mixture, seed: int) -> Tensor:
    return Rng(seed).normal(torch.empty(count, denoiser.means.shape[1]).double())


def measure(dimensions: int, budgets: tuple[int, ...], count: int, many: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    denoiser = oracle(dimensions)
    x1, wide = starts(count, denoiser, 1), starts(many, denoiser, 5)
    with torch.inference_mode():
        truth, exact = reference(denoiser, x1, steps=150).end, draws(denoiser, many, 2)
        floors = [sliced_wasserstein(draws(denoiser, many, seed), exact) for seed in range(10, 20)]
        rows = []
        for budget in budgets:
            found = best_options(deterministic(denoiser, x1, truth, budget))
            found += [tuned(denoiser, x1, truth, budget)] if budget in TUNED else []
            noisy = best_options(stochastic(denoiser, x1, draws(denoiser, count, 4), budget))
            for entry in (*found, *noisy):
                row = {"evaluations": budget, "library": entry.library, "sampler": entry.sampler}
                row |= {"options": entry.options} | ({} if entry in noisy else {"rms": entry.error})
                rows.append(row | {"sliced_wasserstein": sliced_wasserstein(entry.walk(wide), exact)})
            print(dimensions, budget, summary([row for row in rows if row["evaluations"] == budget]), flush=True)
        ode = sliced_wasserstein(reference(denoiser, wide).end, exact)
    floor = {"mean": statistics.mean(floors), "within": statistics.mean(floors) + 2 * statistics.stdev(floors)}
    sizes = {"dimensions": dimensions, "starts": count, "samples": many, "tuned_on": TUNED_ON}
    return {**sizes, "floor": floor, "ode": ode, "rows": rows, "verdicts": verdicts(rows, floor["within"])}


def verdicts(rows: list[dict[str, Any]], within: float) -> list[dict[str, Any]]:
    """At each number of evaluations: the best untuned of each side, and who is nearer."""
    found = []
    for budget, key in itertools.product(BUDGETS, ("rms", "sliced_wasserstein")):
        sides = {
            side: min(
                (row[key] for row in rows if row["evaluations"] == budget and row["library"] == side and key in row
                 and row["sampler"] != "tuned"), default=math.inf,
            )
            for side in ("reverie", "diffusers")
        }  # fmt: skip
        if math.isinf(sides["reverie"]):
            continue
        both = key == "sliced_wasserstein" and max(sides.values()) <= within
        nearer = "both within the floor" if both else min(sides, key=sides.__getitem__)
        found.append({"evaluations": budget, "measure": key, **sides, "nearer": nearer})
    return found


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


def by_sampler(rows: list[dict[str, Any]], key: str) -> dict[tuple[str, str], dict[int, float]]:
    table: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row.get(key) is not None and row[key] < 10:
            table.setdefault((row["library"], row["sampler"]), {})[row["evaluations"]] = row[key]
    return dict(sorted(table.items(), key=lambda item: (item[0][0] != "reverie", item[0][1] != "tuned", item[0][1])))


def markdown(result: dict[str, Any]) -> str:
    """The tables of the documentation: a row for each sampler, a column for each number of evaluations."""
    parts = []
    for o in result["oracles"]:
        parts.append(table(o, "rms", f"distance to the exact end point** ({o['starts']} starts)", 0.0))
        note = (
            f"{o['samples']} samples; floor between two exact sets {o['floor']['mean']:.4f}, exact ODE {o['ode']:.4f}"
        )
        title = f"sliced Wasserstein-2** ({note}; in italics what is within two standard deviations of the floor)"
        parts.append(table(o, "sliced_wasserstein", title, o["floor"]["within"]))
    return "\n\n".join(parts) + "\n"


def table(oracle: dict[str, Any], key: str, title: str, within: float) -> str:
    def cell(value: float | None, mark: str = "") -> str:
        if value is None:
            return ""
        return f"*{value:.4f}*" if value <= within else f"{mark}{value:.2g}{mark}"

    lines = [f"**{oracle['dimensions']} dimensions, {title}\n\n| | " + " | ".join(map(str, BUDGETS)) + " |"]
    lines.append("|---" * (len(BUDGETS) + 1) + "|")
    for side in ("reverie", "diffusers"):
        least = {v["evaluations"]: v[side] for v in oracle["verdicts"] if v["measure"] == key}
        cells = " | ".join(cell(least.get(budget), "**") for budget in BUDGETS)
        lines.append(f"| **best of {side}**, untuned | {cells} |")
    for (library, name), values in by_sampler(oracle["rows"], key).items():
        lines.append(f"| {library}: {name} | " + " | ".join(cell(values.get(budget)) for budget in BUDGETS) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 starts, 5 to 20 evaluations; nothing is written")
    arguments = parser.parse_args()
    budgets, count, many = (BUDGETS[:5], 500, 2000) if arguments.quick else (BUDGETS, 800, 8000)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(measure, dimensions, budgets, count, many) for dimensions in (2, 8)]
        oracles = [job.result() for job in jobs]
    machine = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    versions = {**machine, "diffusers": peers.VERSION if peers else None}
    result = {"versions": versions, "oracles": oracles}
    if not arguments.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        RESULTS.with_suffix(".md").write_text(markdown(result))


if __name__ == "__main__":
    main()
