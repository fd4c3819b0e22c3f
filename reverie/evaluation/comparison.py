"""The trilemma as a table: quality against diversity against time, over samplers and numbers of steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reverie import metrics, pictures
from reverie.data import open_data
from reverie.evaluation.features import choose
from reverie.metrics import Estimate
from reverie.training.assemble import build_sampler
from reverie.training.folder import RunFolder
from reverie.training.model import load
from reverie.training.recipe import merge, validated


@dataclass(frozen=True)
class Comparison:
    """One way of sampling: quality (distance, lower is better), diversity (coverage), cost."""

    run: str
    sampler: str
    steps: int
    evaluations: int
    distance: Estimate
    coverage: float
    seconds: float  # per 1,000 samples


def compare(
    runs: Sequence[str | Path],
    *,
    samplers: Sequence[str],
    steps: Sequence[int],
    count: int = 500,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Every run by every sampler at every number of steps, on the same seeds; the energy distance judges quality."""
    found = []
    for path in runs:
        _, described = RunFolder.open(path)
        model = load(path)
        data = open_data(described["source"], **described["reading"])
        train, held = data.split(float(model.config["training"].get("holdout", 0.1)), int(model.config["seed"]))
        space = choose("auto", data.rows(train[:10_000]), data.labels(train[:10_000]))
        real = space.of(data.rows(held[: 2 * count]))
        for name in samplers:
            config = validated(merge(model.config, {"sampler": {"name": name}}))
            sampler, grid, _ = build_sampler(config)
            for number in steps:
                say(f"{path}: {name}, {number} steps")
                began = time.perf_counter()
                x = model.draw(count, seed=seed, sampler=sampler, grid=grid, steps=number)
                seconds = (time.perf_counter() - began) * 1000 / count
                y = space.of(x)
                distance = metrics.estimate(metrics.energy_distance, y, real)
                coverage = metrics.manifold(y, real).coverage
                evaluations = number * sampler.evaluations
                found.append(Comparison(str(path), name, number, evaluations, distance, coverage, seconds))
    return found


def draw(found: Sequence[Comparison]) -> bytes:
    """Distance against evaluations, a line per run and sampler, as a PNG."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    several = len({c.run for c in found}) > 1
    for c in found:
        across, up = series.setdefault(f"{c.run} {c.sampler}" if several else c.sampler, ([], []))
        across.append(c.evaluations)
        up.append(max(c.distance.value, c.distance.error))
    return pictures.render(
        pictures.curves(series, x="evaluations of the network", y="energy distance to held-out data")
    )


def front(found: Sequence[Comparison]) -> list[Comparison]:
    """Those that no other beats in distance, coverage and seconds together."""

    def beaten(c: Comparison, o: Comparison) -> bool:
        better = o.distance.value <= c.distance.value and o.coverage >= c.coverage and o.seconds <= c.seconds
        return better and (o.distance.value, o.coverage, o.seconds) != (c.distance.value, c.coverage, c.seconds)

    return [c for c in found if not any(beaten(c, o) for o in found)]


def recommend(found: Sequence[Comparison], *, within: float | None = None) -> dict[str, Comparison]:
    """The best, the fastest as good as it to the error, and the best within a time (seconds per 1,000 samples)."""
    best = min(found, key=lambda c: c.distance.value)
    close = [c for c in found if c.distance.value <= best.distance.value + 2 * best.distance.error]
    chosen = {"best": best, "fastest as good": min(close, key=lambda c: c.seconds)}
    quick = [c for c in found if within is not None and c.seconds <= within]
    if quick:
        chosen[f"best within {within:g} s"] = min(quick, key=lambda c: c.distance.value)
    return chosen
