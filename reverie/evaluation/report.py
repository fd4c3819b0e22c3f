"""`evaluate`: draw samples, measure them against held-out data, and say what follows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie import __version__
from reverie.core import files, modelfile
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import Dataset, Spec, is_picture, open_data
from reverie.denoisers import Denoiser, EmpiricalData
from reverie.evaluation.features import choose
from reverie.evaluation.measures import Measure, measure
from reverie.evaluation.verdict import Finding, judge
from reverie.losses import TimedLoss
from reverie.metrics import copy_shares, modes, nearest
from reverie.processes import Gaussian
from reverie.training.assemble import build_loss
from reverie.training.folder import RunFolder
from reverie.training.model import Model, load
from reverie.training.scoring import Effort, condition_of, likelihood_for, score

FORMAT = 1  # raised whenever the same model would get other numbers
SCORED = 200  # held-out examples that bits per dimension are measured on
LEAST = 40  # examples on each side of a comparison
LEVELS = 8  # noise levels of the loss curves
KNOWN = 5000  # training examples that the best possible loss is computed from


@dataclass(frozen=True)
class Evaluation:
    """What was found. `numbers` is all of it as plain values; the tensors are for pictures."""

    spec: Spec
    numbers: dict[str, Any]
    measures: dict[str, Measure]
    findings: list[Finding]
    samples: Tensor
    real: Tensor
    pairs: tuple[Tensor, Tensor]


def evaluate(
    path: str | Path,
    *,
    count: int = 1000,
    seed: int = 0,
    features: str = "auto",
    data: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Judge the model of a run by `count` samples; the same arguments give the same numbers.

    Raises UserError where the run has no held-out data or its data cannot be opened.
    """
    folder, described = RunFolder.open(path)
    model = load(path)
    dataset = open_data(data or described["source"], **described["reading"])
    train_index, held_index = dataset.split(
        float(model.config["training"].get("holdout", 0.1)), int(model.config["seed"])
    )
    if len(held_index) < LEAST or len(train_index) < LEAST:
        raise UserError(
            f"'{path}' has {len(train_index)} training and {len(held_index)} held-out examples; a judgement needs "
            f"{LEAST} of each: train with a larger --training.holdout"
        )
    count = max(LEAST, min(count, len(train_index)))
    say(f"drawing {count} samples")
    began = time.perf_counter()
    samples = model.draw(count, seed=seed)
    seconds = time.perf_counter() - began
    held_index = held_index[Rng(seed).fork("held").uniform(len(held_index)).argsort()[:count]]
    train, held = dataset.rows(train_index[:20_000]), dataset.rows(held_index)
    say("measuring")
    space = choose(features, train, dataset.labels(train_index[:20_000]))
    found = measure(samples, train, held, space, seed=seed)
    closest = nearest(samples, train)
    copies = copy_shares(samples, train, held) if dataset.spec.kind not in ("points", "table") else None
    kinds = modes(space.of(samples), space.of(torch.cat((train, held))), seed=seed)
    curve = [e["held_out"] for e in folder.metrics() if e.get("held_out") is not None]
    findings = judge(samples, held, found, copies, modes=kinds, held_curve=curve, pictures=is_picture(dataset.spec))
    say("losses by noise level")
    numbers = {
        "run": str(path),
        "features": space.name,
        "samples": count,
        "real": len(held),
        "seed": seed,
        "measures": {name: _plain(m) for name, m in found.items()},
        "copies": None if copies is None else dataclasses.asdict(copies),
        "labels": label_table(model, samples, space.label, count),
        "losses": losses(model, dataset, train_index, held_index),
        "bits_per_dim": bits_per_dim(model, dataset, held_index, seed),
        "held_out_curve": curve,
        "seconds_per_sample": seconds / count,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    shown = closest.argsort()[:12]
    return Evaluation(
        dataset.spec, numbers, found, findings, samples, held, (samples[shown], _nearest_rows(samples[shown], train))
    )


def cached(path: str | Path, arguments: dict[str, Any]) -> Path:
    """Where the report of these arguments and this very model lies, or would lie."""
    model = (Path(path) / "model" / "manifest.json").read_bytes()
    key = hashlib.sha256(
        model + f"{__version__} {FORMAT}".encode() + json.dumps(arguments, sort_keys=True).encode()
    ).hexdigest()[:16]
    return Path(path) / "evaluation" / key


def store(folder: Path, evaluation: Evaluation, html: str) -> None:
    """The report as JSON and as a page."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_file(folder / "evaluation.json", json.dumps(evaluation.numbers, indent=1).encode() + b"\n")
    files.write_file(folder / "report.html", html.encode())


def stored(folder: Path) -> dict[str, Any] | None:
    """The numbers of an earlier report."""
    file = folder / "evaluation.json"
    return modelfile.read_config(file.read_bytes()) if file.is_file() else None


def label_table(
    model: Model, samples: Tensor, label: Callable[[Tensor], Tensor] | None, count: int
) -> dict[str, float] | None:
    """The share of each class's samples that a classifier of the real data gives the label that was asked for."""
    wanted = model.labels(count, None)
    if label is None or wanted is None:
        return None
    right = label(samples).eq(wanted).double()
    return {name: float(right[wanted == k].mean()) for k, name in enumerate(model.spec.classes) if (wanted == k).any()}


def bits_per_dim(model: Model, dataset: Dataset, held_index: Tensor, seed: int) -> dict[str, Any] | None:
    """What held-out data cost: bits per dimension with a standard error; None for a process without this bound."""
    if not isinstance(model.process, Gaussian):
        return None
    method = "vlb" if dataset.spec.scale.bins else "ode"
    effort = Effort(min(SCORED, len(held_index)))
    part = score(
        model, dataset, held_index[: effort.count], likelihood_for(model, method, effort), name="held-out", seed=seed
    )
    mean, error = part.mean()
    return {
        "method": method,
        "examples": effort.count,
        "value": mean,
        "error": error,
        "levels": dataset.spec.scale.bins,
    }


@torch.inference_mode()
def losses(model: Model, dataset: Dataset, train_index: Tensor, held_index: Tensor) -> list[dict[str, float]]:
    """The loss by time on training and on held-out examples, beside the best that is possible on the training set.

    Below the best possible loss on training examples lies only memory of the noise; far below the held-out loss lies
    memory of the examples.
    """
    loss = build_loss(model.config)
    if not isinstance(loss, TimedLoss) or not isinstance(model.process, Gaussian):
        return []
    some = train_index[:: max(1, len(train_index) // 256)][:256]
    u = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    known = train_index[:KNOWN]
    conditioned = bool(dataset.spec.conditions)  # by numbers: each example is then the only one of its kind
    best = EmpiricalData(model.process, dataset.rows(known), dataset.labels(known))
    curve = []
    for k, t in enumerate(loss.times.quantile(u, model.process)):
        row = {"t": float(t)}
        for name, index in (("train", some), ("held_out", held_index[:256])):
            row[name] = _loss(model, dataset, index, loss, t, k)
        if len(known) == len(train_index) and not conditioned:
            row["best_on_train"] = _loss(best, dataset, some, loss, t, k)
        curve.append(row)
    return curve


def _loss(model: Denoiser, dataset: Dataset, index: Tensor, loss: TimedLoss, t: Tensor, k: int) -> float:
    x0, condition = dataset.rows(index), condition_of(dataset, index, torch.device("cpu"))
    bound = model if condition is None else model.given(condition)
    return float(loss.at(bound, x0, t.expand(len(x0)), rng=Rng(k)).mean())


def _nearest_rows(x: Tensor, train: Tensor) -> Tensor:
    return train[torch.cdist(x.flatten(1), train.flatten(1)).argmin(1)]


def _plain(m: Measure) -> dict[str, float]:
    return {
        "value": m.value.value,
        "error": m.value.error,
        "floor": m.floor.value,
        "floor_error": m.floor.error,
        "baseline": m.baseline,
    }
