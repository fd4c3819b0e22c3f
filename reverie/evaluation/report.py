"""`evaluate`: draw samples, measure them against held-out data, and say what follows."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie import metrics
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import Dataset, Spec, as_saved, is_picture, open_data
from reverie.evaluation.features import Features, choose
from reverie.evaluation.losses import SCORED, bits_per_dim, losses
from reverie.evaluation.measures import Measure, measure
from reverie.evaluation.verdict import Finding, judge
from reverie.metrics import copy_shares, modes, nearest
from reverie.networks import parameters
from reverie.training.artefacts import alphabet
from reverie.training.folder import RunFolder
from reverie.training.model import Model, load
from reverie.training.scoring import like_data

LEAST = 40  # examples on each side of a comparison
KNOWN = 20_000  # training examples among which copies are looked for, at most
LOOKED = 10_000  # samples that are looked for among them, at most
WIDEST = 64  # columns that are compared one by one, at most
SHOWN = 12  # pairs of a sample and the training example nearest to it

Watch = Callable[
    [str, int], AbstractContextManager[Callable[[int], None]]
]  # (what, how many) → call with the number done


@dataclass(frozen=True)
class Evaluation:
    """What was found. `numbers` is all of it as plain values; the tensors are for pictures."""

    spec: Spec
    numbers: dict[str, Any]
    findings: list[Finding]
    samples: Tensor
    real: Tensor
    pairs: tuple[Tensor, Tensor]


@contextmanager
def unwatched(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A watch that shows nothing."""
    yield lambda done: None


def evaluate(
    path: str | Path,
    *,
    count: int = 1000,
    seed: int = 0,
    features: str = "auto",
    data: str | None = None,
    watch: Watch = unwatched,
) -> Evaluation:
    """Judge the model of a run by `count` samples; the same arguments give the same numbers.

    `watch` is told of each part of the work and how far it has come. Raises UserError where the run has too little
    held-out data or its data cannot be opened.
    """
    folder, described = RunFolder.open(path)
    model = load(path)
    dataset = open_data(data or described["source"], **described["reading"])
    train_index, held_index = _split(path, model, dataset)
    count = max(LEAST, min(count, len(train_index)))
    with watch("drawing samples", count) as progress:
        condition = like_data(dataset, train_index, count, seed=seed, device=torch.device("cpu"))
        pace = _Pace(progress)
        samples = as_saved(model.draw(count, seed=seed, condition=condition, progress=pace), dataset.spec)
    held_index = held_index[Rng(seed).fork("held").uniform(len(held_index)).argsort()[:count]]
    train_index = train_index[Rng(seed).fork("train").uniform(len(train_index)).argsort()[: max(KNOWN, count)]]
    train, held = dataset.rows(train_index), dataset.rows(held_index)
    with watch("measuring", 4) as progress:
        space = choose(features, train, dataset.labels(train_index), text=bool(alphabet(dataset.spec)))
        progress(1)
        found = measure(samples, train, held, space, seed=seed)
        progress(2)
        copies, pairs = _memory(dataset.spec, samples[:LOOKED], train[:KNOWN], held)
        progress(3)
        kinds = modes(space.of(samples), torch.cat([space.of(side) for side in (train, held)]), seed=seed)
        curve = [e["held_out"] for e in folder.metrics() if e.get("held_out") is not None]
        picture = is_picture(dataset.spec)
        findings = judge(
            samples, held, found, copies, modes=kinds, held_curve=curve, pictures=picture, spec=dataset.spec
        )
    with watch("held-out likelihood", min(SCORED, len(held_index))) as progress:
        bits = bits_per_dim(model, dataset, held_index, seed, progress)
    wanted = None if condition is None else condition.label
    numbers = {
        "run": str(path),
        "features": space.name,
        "samples": count,
        "real": len(held),
        "seed": seed,
        "measures": {name: _plain(m) for name, m in found.items()},
        "copies": None if copies is None else dataclasses.asdict(copies),
        "labels": _labels(model.spec, space, (samples, wanted), (held, dataset.labels(held_index))),
        "columns": _columns(dataset.spec, samples, train, held),
        "losses": losses(model, dataset, train_index, held_index),
        "bits_per_dim": bits,
        "held_out_curve": curve,
        "seconds_per_sample": pace.seconds,
        "parameters": parameters(model),
        "peak_bytes": _peak(),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    return Evaluation(dataset.spec, numbers, findings, samples, held, pairs)


class _Pace:
    """Passes on how many samples are done, and keeps what one took in the quickest batch: others waited for the
    machine.
    """

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.progress, self.done, self.since, self.seconds = progress, 0, time.perf_counter(), float("inf")

    def __call__(self, done: int) -> None:
        now = time.perf_counter()
        self.seconds = min(self.seconds, (now - self.since) / (done - self.done))
        self.done, self.since = done, now
        self.progress(done)


def _split(path: str | Path, model: Model, dataset: Dataset) -> tuple[Tensor, Tensor]:
    train, held = dataset.split(float(model.config["training"].get("holdout", 0.1)), int(model.config["seed"]))
    if min(len(train), len(held)) < LEAST:
        twins = dataset.twins()
        kinds = len(dataset) if twins is None else len(twins.unique())
        advice = "train with a larger --training.holdout"
        if kinds < 2 * LEAST:
            advice = f"only {kinds} of its {len(dataset)} examples differ, and equal ones are held out together"
        raise UserError(
            f"'{path}' has {len(train)} training and {len(held)} held-out examples; a judgement needs {LEAST} of each: "
            + advice
        )
    return train, held


def _memory(
    spec: Spec, samples: Tensor, train: Tensor, held: Tensor
) -> tuple[metrics.Copies | None, tuple[Tensor, Tensor]]:
    """Shares of near copies, where a distance means something, and the samples nearest to training examples."""
    copies = copy_shares(samples, train, held) if spec.kind not in ("points", "table") else None
    closest = samples[nearest(samples, train).argsort()[:SHOWN]]
    return copies, (closest, train[torch.cdist(closest.flatten(1), train.flatten(1)).argmin(1)])


Labelled = tuple[Tensor, Tensor | None]  # examples and their labels


def _labels(spec: Spec, space: Features, own: Labelled, real: Labelled) -> dict[str, dict[str, float]] | None:
    """Of each class, the share that a classifier of the real data names so: of samples that were asked for it, and of
    held-out data that are it, which is as much as can be expected.
    """
    (_, wanted), (_, known) = own, real
    named = [space.label(x) for x, _ in (own, real)]
    if wanted is None or known is None or named[0] is None or named[1] is None:
        return None
    return {
        name: {
            "samples": float((named[0][wanted == k] == k).double().mean()),
            "real": float((named[1][known == k] == k).double().mean()),
        }
        for k, name in enumerate(spec.classes)
        if (wanted == k).any() and (known == k).any()
    }


def _columns(spec: Spec, samples: Tensor, train: Tensor, held: Tensor) -> dict[str, Any] | None:
    """Each column of points, vectors and tables: how far its marginal is off, and the same for real data."""
    if len(spec.shape) != 1 or spec.dimensions > WIDEST:
        return None
    chosen = Rng(0).fork("columns").uniform(len(train)).argsort()[: len(samples)]
    own, floor, real = (spec.scale.decode(side).double() for side in (samples, train[chosen], held))
    of_samples, of_real = metrics.columns(own, real), metrics.columns(floor, real)
    named = spec.columns if len(spec.columns) == spec.dimensions else [f"{k + 1}" for k in range(spec.dimensions)]
    table = [
        {
            "name": name,
            "mean": float(own[:, k].mean()),
            "real_mean": float(real[:, k].mean()),
            "spread": float(own[:, k].std()),
            "real_spread": float(real[:, k].std()),
            "distance": of_samples.marginals[k],
            "floor": of_real.marginals[k],
        }
        for k, name in enumerate(named)
    ]
    return {
        "table": table,
        "chance": metrics.chance(len(own), len(real)),
        "correlation": of_samples.correlation,
        "correlation_floor": of_real.correlation,
    }


def _peak() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _plain(m: Measure) -> dict[str, float]:
    return {
        "value": m.value.value,
        "error": m.value.error,
        "floor": m.floor.value,
        "floor_error": m.floor.error,
        "baseline": m.baseline,
    }
