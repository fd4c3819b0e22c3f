"""The trilemma as a table: quality against diversity against time, over samplers and numbers of steps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reverie import metrics, pictures
from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.evaluation.features import choose
from reverie.guidance import ClassifierFree
from reverie.metrics import Estimate
from reverie.training.assemble import build_sampler
from reverie.training.folder import RunFolder
from reverie.training.model import load
from reverie.training.recipe import merge, validated

REAL = 4000  # real examples that samples are held against


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
    scale: float  # of classifier-free guidance; 1 for none
    left: tuple[float, ...]  # the distance without each group of examples

    @property
    def command(self) -> str:
        """What to type for it."""
        guidance = f" --guide cfg --scale {self.scale:g}" if self.scale != 1 else ""
        return f"reverie sample {self.run} --sampler {self.sampler} --steps {self.steps}{guidance}"

    def worse_than(self, other: Comparison) -> tuple[float, float]:
        """How much larger the distance is, and the error of that: most of the noise is common to both and cancels."""
        apart = [a - b for a, b in zip(self.left, other.left, strict=True)]
        found = metrics.jackknife(self.distance.value - other.distance.value, apart)
        return found.value, found.error


def compare(
    runs: Sequence[str | Path],
    *,
    samplers: Sequence[str],
    steps: Sequence[int],
    scales: Sequence[float] = (1.0,),
    count: int = 500,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Every run by every sampler at every number of steps and scale of guidance, on the same seeds.

    The energy distance to the data judges quality: all of the data up to REAL, since copying is the model's, not the
    sampler's. Raises UserError for guidance of a model without labels.
    """
    found = []
    for path in runs:
        judge = _Judge(path, count, seed)
        if any(scale != 1 for scale in scales) and not judge.model.spec.classes:
            raise UserError(f"--scales steers towards labels, but '{path}' was trained without labels")
        for name, number, scale in itertools.product(samplers, steps, scales):
            say(f"{path}: {name}, {number} steps" + (f", scale {scale:g}" if scale != 1 else ""))
            found.append(judge(name, number, scale))
    return found


class _Judge:
    """A model, the features of its data, and how to hold a way of sampling against them."""

    def __init__(self, path: str | Path, count: int, seed: int) -> None:
        _, described = RunFolder.open(path)
        self.path, self.count, self.seed, self.model = str(path), count, seed, load(path)
        data = open_data(described["source"], **described["reading"])
        train, held = data.split(
            float(self.model.config["training"].get("holdout", 0.1)), int(self.model.config["seed"])
        )
        self.space = choose("auto", data.rows(train[:10_000]), data.labels(train[:10_000]))
        self.real = self.space.of(data.rows(torch.cat((held, train))[:REAL]))

    def __call__(self, name: str, steps: int, scale: float) -> Comparison:
        sampler, grid, _ = build_sampler(validated(merge(self.model.config, {"sampler": {"name": name}})))
        wrap = None if scale == 1 else lambda inner: ClassifierFree(inner, scale=scale)
        began = time.perf_counter()
        x = self.model.draw(self.count, seed=self.seed, sampler=sampler, grid=grid, steps=steps, wrap=wrap)
        seconds = (time.perf_counter() - began) * 1000 / self.count
        y = self.space.of(x)
        left = tuple(metrics.energy_distance(*part) for part in metrics.subsets(y, self.real))
        return Comparison(
            run=self.path,
            sampler=name,
            steps=steps,
            evaluations=steps * sampler.evaluations * (1 if scale == 1 else 2),
            distance=metrics.jackknife(metrics.energy_distance(y, self.real), left),
            coverage=metrics.manifold(y, self.real[: self.count]).coverage,
            seconds=seconds,
            scale=scale,
            left=left,
        )


def draw(found: Sequence[Comparison]) -> bytes:
    """Distance against evaluations, a line per run and sampler, as a PNG."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    several = len({c.run for c in found}) > 1
    for c in found:
        scale = f", scale {c.scale:g}" if c.scale != 1 else ""
        name = f"{c.run} {c.sampler}" if several else c.sampler
        across, up = series.setdefault(name + scale, ([], []))
        across.append(c.evaluations)
        up.append(max(c.distance.value, c.distance.error))
    return pictures.render(pictures.curves(series, x="evaluations of the network", y="energy distance to the data"))


def front(found: Sequence[Comparison]) -> list[Comparison]:
    """Those that no other beats in distance, coverage and seconds together."""

    def beaten(c: Comparison, o: Comparison) -> bool:
        better = o.distance.value <= c.distance.value and o.coverage >= c.coverage and o.seconds <= c.seconds
        return better and (o.distance.value, o.coverage, o.seconds) != (c.distance.value, c.coverage, c.seconds)

    return [c for c in found if not any(beaten(c, o) for o in found)]


def recommend(found: Sequence[Comparison], *, within: float | None = None) -> dict[str, Comparison]:
    """The best, the best within a time (seconds per 1,000 samples), and the cheapest not surely worse than the best.

    Not surely worse: by less than two errors of the difference, or by less than 5 %. Cost is evaluations of the
    network, which do not change with what else the machine does.
    """
    best = min(found, key=lambda c: c.distance.value)

    def close(c: Comparison) -> bool:
        gap, error = c.worse_than(best)
        return gap <= max(2 * error, 0.05 * abs(best.distance.value))

    own = [c for c in found if c.run == best.run and close(c)]
    chosen = {"best": best, "cheapest as good": min(own, key=lambda c: (c.evaluations, c.distance.value))}
    quick = [c for c in found if within is not None and c.seconds <= within]
    if quick:
        chosen[f"best within {within:g} s per 1,000"] = min(quick, key=lambda c: c.distance.value)
    return chosen
