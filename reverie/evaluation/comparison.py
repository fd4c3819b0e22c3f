"""The trilemma as a table: quality against diversity against time, over samplers, numbers of steps and guidance.

Every way of sampling first draws a part of its samples. What another way then surely beats for no more cost is dropped;
the others draw the rest; and those that a recommendation hangs on draw four times as many.
All start from the same noise and are asked for the same labels, so that most of the noise cancels in their differences.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reverie import metrics, pictures
from reverie.core.errors import NON_FINITE, UserError
from reverie.data import open_data
from reverie.evaluation import features
from reverie.evaluation.choice import Comparison, Way, beaten, front, leading
from reverie.evaluation.report import Watch, unwatched
from reverie.guidance import ClassifierFree
from reverie.metrics import Cloud, Estimate
from reverie.samplers import chunk_size
from reverie.training.artefacts import alphabet
from reverie.training.assemble import build_sampler
from reverie.training.folder import RunFolder
from reverie.training.model import load
from reverie.training.recipe import merge, validated
from reverie.training.scoring import like_data

REAL = 4000  # real examples that samples are held against
FITTED = 10_000  # training examples that features are fitted to
PART = 4  # the share of the samples that everyone draws, inverted
GROUPS = 20  # of samples, that errors are found by leaving out in turn
MORE = 4  # times as many are drawn by the leading ways
SLOW = 3.0  # times as long an evaluation as usual is the sampler's own doing


@dataclass(frozen=True)
class Sweep:
    """Samplers by numbers of steps by scales of guidance (by default 1, and 1.5 too where there are labels)."""

    samplers: Sequence[str]
    steps: Sequence[int]
    scales: Sequence[float] | None = None

    def ways(self, run: str, *, labelled: bool) -> list[Way]:
        """All of them for a run. Raises UserError for guidance without labels."""
        if not labelled and any(scale != 1 for scale in self.scales or ()):
            raise UserError(f"--scales steers towards labels, but '{run}' was trained without labels")
        scales = self.scales or ((1.0, 1.5) if labelled else (1.0,))
        return [Way(run, *way) for way in itertools.product(self.samplers, self.steps, scales)]


def compare(
    runs: Sequence[str | Path],
    sweep: Sweep,
    *,
    count: int = 512,
    seed: int = 0,
    within: float | None = None,
    watch: Watch = unwatched,
) -> list[Comparison]:
    """Every run by every way of the sweep, on the same seeds; `within` is what `recommend` will be asked for.

    The energy distance to the data judges quality: all of the data up to REAL, since copying is the model's, not the
    sampler's. Raises UserError for guidance without labels, and where no way gives numbers.
    """
    judges = [_Judge(path, count, seed) for path in runs]
    tries = [_Try(judge, way) for judge in judges for way in sweep.ways(judge.run, labelled=judge.labelled)]
    first = max(count // PART, 2 * GROUPS, *(chunk_size(tuple(judge.model.spec.shape)) for judge in judges))
    _draw("first look", tries, min(first, count), watch)
    if first < count:
        found = _compared(tries)
        for t, c in zip(tries, found, strict=True):
            t.dropped |= beaten(c, found)
        _draw("closer look", [t for t in tries if not t.dropped], count, watch)
    found = _compared(tries)
    lead = leading(found, within=within)
    _draw("the leading ways", [t for t, c in zip(tries, found, strict=True) if c in lead], MORE * count, watch)
    return _compared(tries)


def _draw(what: str, tries: Sequence[_Try], count: int, watch: Watch) -> None:
    """Let all have `count` samples; progress is counted in evaluations of the network."""
    costs = list(itertools.accumulate(t.evaluations for t in tries))
    with watch(what, costs[-1]) as progress:
        for t, done in zip(tries, costs, strict=True):
            t.up_to(count)
            progress(done)
    if all(t.dropped for t in tries):
        raise UserError("no way of sampling gave finite samples; see 'reverie doctor'", code=NON_FINITE)


def _compared(tries: Sequence[_Try]) -> list[Comparison]:
    """All as they stand. A way takes as long as its evaluations do in the run's middle way, whatever else the machine
    did meanwhile, unless its own take more than SLOW times as long.
    """
    found = []
    for t in tries:
        usual = statistics.median(other.pace for other in tries if other.judge is t.judge)
        pace = usual if t.pace <= SLOW * usual else t.pace
        seconds = 1000 * t.evaluations * pace
        found.append(Comparison(t.way, t.evaluations, len(t.features), t.distance, t.coverage, seconds, t.dropped))
    return found


class _Judge:
    """A model, its data as features, and what its samples are asked for."""

    def __init__(self, path: str | Path, count: int, seed: int) -> None:
        _, described = RunFolder.open(path)
        self.run, self.count, self.seed, self.model = str(path), count, seed, load(path)
        self.labelled = bool(self.model.spec.classes)
        data = open_data(described["source"], **described["reading"])
        config = self.model.config
        train, held = data.split(float(config["training"].get("holdout", 0.1)), int(config["seed"]))
        if len(data) < 2 * GROUPS:
            raise UserError(f"'{path}' has {len(data)} examples; a comparison needs at least {2 * GROUPS}")
        known, text = train[:FITTED], bool(alphabet(data.spec))
        self.space = features.choose("auto", data.rows(known), data.labels(known), text=text)
        self.real = self.space.of(data.rows(torch.cat((held, train))[:REAL]))
        self.cloud = Cloud(self.real, metrics.nearness, groups=GROUPS)
        self.condition = like_data(data, train, MORE * count, seed=seed, device=torch.device("cpu"))


class _Try:
    """A way of sampling with the samples it has drawn so far; `pace` is seconds an evaluation of one example."""

    def __init__(self, judge: _Judge, way: Way) -> None:
        self.judge, self.way = judge, way
        config = validated(merge(judge.model.config, {"sampler": {"name": way.sampler}}))
        self.sampler, self.grid, _ = build_sampler(config)
        self.evaluations = way.steps * self.sampler.evaluations * (1 if way.scale == 1 else 2)
        self.features, self.pace, self.dropped = judge.real[:0], math.inf, False
        self.distance, self.coverage = Estimate(math.inf, math.inf), 0.0

    def up_to(self, count: int) -> None:
        """Have `count` samples, of which those drawn before are kept; dropped if they are no numbers.

        Coverage is always that of the first samples, since it depends on how many there are.
        """
        judge, have = self.judge, len(self.features)
        began = time.perf_counter()
        new = self._draw(have, count - have)
        self.pace = min(self.pace, (time.perf_counter() - began) / (len(new) * self.evaluations))
        if not new.isfinite().all():
            self.dropped = True
            return
        self.features = torch.cat((self.features, judge.space.of(new)))
        self.distance = metrics.discrepancy(Cloud(self.features, metrics.nearness, groups=GROUPS), judge.cloud)
        if have < judge.count:
            few = min(count, judge.count)
            self.coverage = metrics.manifold(self.features[:few], judge.real[:few]).coverage

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
