"""The trilemma as a table: quality against diversity against time, over samplers, numbers of steps and guidance.

Every way of sampling first draws a part of its samples. What another way then beats for no more cost, or equals at
half the cost, is dropped; the others draw the rest. All start from the same noise and are asked for the same labels,
so that most of the noise cancels in their differences.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from reverie import metrics, pictures
from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.evaluation.features import choose
from reverie.evaluation.report import Watch, unwatched
from reverie.guidance import ClassifierFree
from reverie.metrics import Cloud, Estimate
from reverie.samplers import chunk_size
from reverie.training.assemble import build_sampler
from reverie.training.folder import RunFolder
from reverie.training.model import load
from reverie.training.recipe import merge, validated
from reverie.training.scoring import like_data

REAL = 4000  # real examples that samples are held against
FITTED = 10_000  # training examples that features are fitted to
PART = 4  # the share of the samples that everyone draws, inverted
SURE = 2.0  # standard errors


@dataclass(frozen=True)
class Way:
    """A way of sampling: a run, a sampler, its steps, and the scale of classifier-free guidance (1 for none)."""

    run: str
    sampler: str
    steps: int
    scale: float = 1.0

    @property
    def command(self) -> str:
        """What to type for it."""
        guidance = f" --guide cfg --scale {self.scale:g}" if self.scale != 1 else ""
        return f"reverie sample {self.run} --sampler {self.sampler} --steps {self.steps}{guidance}"


@dataclass(frozen=True)
class Comparison:
    """What a way reaches: quality (distance, lower is better), diversity (coverage), cost; `dropped` early or not."""

    way: Way
    evaluations: int
    distance: Estimate
    coverage: float
    seconds: float  # per 1,000 samples
    dropped: bool = False

    def worse_than(self, other: Comparison) -> Estimate:
        """How much larger the distance is: most of the noise is common to both and cancels."""
        return self.distance.minus(other.distance)


def compare(
    runs: Sequence[str | Path],
    *,
    samplers: Sequence[str],
    steps: Sequence[int],
    scales: Sequence[float] | None = None,
    count: int = 512,
    seed: int = 0,
    watch: Watch = unwatched,
) -> list[Comparison]:
    """Every run by every sampler at every number of steps and scale of guidance, on the same seeds.

    The energy distance to the data judges quality: all of the data up to REAL, since copying is the model's, not the
    sampler's. `scales` are 1 and 1.5 by default where there are labels. Raises UserError for guidance without labels.
    """
    tries, first = [], count // PART
    for path in runs:
        judge = _Judge(path, count, seed)
        first = max(first, chunk_size(tuple(judge.model.spec.shape)))
        labelled = bool(judge.model.spec.classes)
        if not labelled and any(scale != 1 for scale in scales or ()):
            raise UserError(f"--scales steers towards labels, but '{path}' was trained without labels")
        own = scales or ((1.0, 1.5) if labelled else (1.0,))
        tries += [_Try(judge, Way(str(path), *way)) for way in itertools.product(samplers, steps, own)]
    found = _drawn("first look", tries, min(first, count), watch)
    if first >= count:
        return found
    kept = [not beaten(c, found) for c in found]
    full = iter(_drawn("closer look", [t for t, keep in zip(tries, kept, strict=True) if keep], count, watch))
    return [next(full) if keep else replace(c, dropped=True) for c, keep in zip(found, kept, strict=True)]


def _drawn(what: str, tries: Sequence[_Try], count: int, watch: Watch) -> list[Comparison]:
    """All with `count` samples each; progress is counted in evaluations of the network."""
    costs = list(itertools.accumulate(t.evaluations for t in tries))
    found = []
    with watch(what, costs[-1]) as progress:
        for t, done in zip(tries, costs, strict=True):
            found.append(t.up_to(count))
            progress(done)
    return found


class _Judge:
    """A model, its data as features, and what its samples are asked for."""

    def __init__(self, path: str | Path, count: int, seed: int) -> None:
        _, described = RunFolder.open(path)
        self.seed, self.model = seed, load(path)
        data = open_data(described["source"], **described["reading"])
        config = self.model.config
        train, held = data.split(float(config["training"].get("holdout", 0.1)), int(config["seed"]))
        self.space = choose("auto", data.rows(train[:FITTED]), data.labels(train[:FITTED]))
        self.real = self.space.of(data.rows(torch.cat((held, train))[:REAL]))
        self.cloud = Cloud(self.real, metrics.nearness, groups=metrics.GROUPS)
        self.condition = like_data(data, train, count, seed=seed, device=torch.device("cpu"))


class _Try:
    """A way of sampling with the samples it has drawn so far."""

    def __init__(self, judge: _Judge, way: Way) -> None:
        self.judge, self.way = judge, way
        config = validated(merge(judge.model.config, {"sampler": {"name": way.sampler}}))
        self.sampler, self.grid, _ = build_sampler(config)
        self.evaluations = way.steps * self.sampler.evaluations * (1 if way.scale == 1 else 2)
        self.features: Tensor | None = None
        self.seconds = 0.0

    def up_to(self, count: int) -> Comparison:
        """The comparison by `count` samples, of which those drawn before are kept."""
        judge, have = self.judge, 0 if self.features is None else len(self.features)
        began = time.perf_counter()
        new = judge.space.of(self._draw(have, count - have))
        self.seconds += time.perf_counter() - began
        self.features = new if self.features is None else torch.cat((self.features, new))
        cloud = Cloud(self.features, metrics.nearness, groups=metrics.GROUPS)
        return Comparison(
            way=self.way,
            evaluations=self.evaluations,
            distance=metrics.discrepancy(cloud, judge.cloud),
            coverage=metrics.manifold(self.features, judge.real[:count]).coverage,
            seconds=1000 * self.seconds / count,
        )

    def _draw(self, first: int, count: int) -> Tensor:
        judge, scale = self.judge, self.way.scale
        return judge.model.draw(
            count,
            first=first,
            seed=judge.seed,
            sampler=self.sampler,
            grid=self.grid,
            steps=self.way.steps,
            wrap=None if scale == 1 else lambda inner: ClassifierFree(inner, scale=scale),
            condition=None if judge.condition is None else judge.condition.rows(slice(first, first + count)),
        )


def beaten(c: Comparison, found: Sequence[Comparison]) -> bool:
    """Whether another way of the same run is surely better for no more evaluations, or no worse for half of them."""

    def beats(other: Comparison) -> bool:
        if other is c or other.way.run != c.way.run or other.evaluations > c.evaluations:
            return False
        gap = c.worse_than(other)
        return gap.value > SURE * gap.error or (2 * other.evaluations <= c.evaluations and gap.value >= 0)

    return any(map(beats, found))


def front(found: Sequence[Comparison]) -> list[Comparison]:
    """Those that no other beats in distance, coverage and seconds together."""
    whole = [c for c in found if not c.dropped]

    def better(o: Comparison, c: Comparison) -> bool:
        both = [(x.distance.value, -x.coverage, x.seconds) for x in (o, c)]
        return both[0] != both[1] and all(a <= b for a, b in zip(*both, strict=True))

    return [c for c in whole if not any(better(o, c) for o in whole)]


def draw(found: Sequence[Comparison]) -> bytes:
    """Quality and diversity against seconds, the front joined, as a PNG."""
    whole, best = [c for c in found if not c.dropped], front(found)
    several = len({c.way.run for c in whole}) > 1
    panels: dict[str, list[pictures.Mark]] = {"energy distance (quality: low)": [], "coverage (diversity: high)": []}
    for c in whole:
        guided = f", scale {c.way.scale:g}" if c.way.scale != 1 else ""
        series = f"{c.way.run} {c.way.sampler}{guided}" if several else c.way.sampler + guided
        for marks, up in zip(panels.values(), (c.distance.value, c.coverage), strict=True):
            marks.append(pictures.Mark(series, c.seconds, up, f"{c.way.steps}", c in best))
    return pictures.render(pictures.fronts(panels, x="seconds for 1,000 samples (numbers: steps)"))


def recommend(found: Sequence[Comparison], *, within: float | None = None) -> dict[str, Comparison | None]:
    """The best, the best within a time (seconds per 1,000 samples), and the fastest not surely worse than the best.

    Not surely worse: by less than two errors of the difference, 5 %, or the error of the best's distance. Fast means
    few evaluations of the network, whatever else the machine does. Without `within` it is half the best's time.
    """
    whole = [c for c in found if not c.dropped]
    best = min(whole, key=lambda c: c.distance.value)
    limit = best.seconds / 2 if within is None else within
    quick = [c for c in whole if c.seconds <= limit]
    close = [c for c in whole if c.way.run == best.way.run and as_good(c, best)]
    return {
        "best quality": best,
        f"best within {limit:.3g} s per 1,000": min(quick, key=lambda c: c.distance.value, default=None),
        "fastest within 5 % of the best": min(close, key=lambda c: (c.evaluations, c.distance.value)),
    }


def as_good(c: Comparison, best: Comparison) -> bool:
    """Whether the distance is not surely larger, or by less than 5 % or the error of the best's own distance."""
    gap = c.worse_than(best)
    return gap.value <= max(SURE * gap.error, best.distance.error, 0.05 * abs(best.distance.value))
