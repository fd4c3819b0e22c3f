"""Models of the same pictures side by side: what they cost, how good their samples are, what held-out pictures cost.

Models know no labels, so that one that cannot know any stands beside the others on equal terms. Quality is measured in
the features of a classifier of the training pictures: the Fréchet distance of samples to held-out pictures; precision
and coverage (the share of samples near a held-out picture, and of these near a sample); and KL(classes of samples ‖
classes of held-out pictures), nats. Real training pictures, as many as there are samples, are the floor.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import write
from benchmarks.page import side_by_side
from reverie import networks, pictures
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.data import open_data, to_picture
from reverie.evaluation.features import choose
from reverie.likelihoods import Likelihood
from reverie.metrics import estimate, frechet_distance, manifold
from reverie.training.model import Model, load
from reverie.training.recipe import Config
from reverie.training.scoring import score
from reverie.training.session import Session

SCORED, DRAWN, HELD, FITTED, TIMED = 150, 1000, 5000, 10_000, 64
SHOWN = 40  # pictures of each kind on the sheet


class Scene:
    """The data without labels, held-out pictures, and the features in which samples are held against them."""

    def __init__(self, source: str) -> None:
        labelled = open_data(source)
        self.data = open_data(source, label="none")
        train, self.held = self.data.split(0.1, 0)
        known, self.real = self.data.rows(train[:FITTED]), self.data.rows(self.held[:HELD])
        self.space = choose("classifier", known, labelled.labels(train[:FITTED]))
        self.features, self.classes = self.space.of(self.real), self._classes(self.real)
        self.floor = self.quality(known[Rng(3).uniform(len(known)).argsort()[:DRAWN]])

    def _classes(self, x: Tensor) -> Tensor:
        """Shares of the classes, (K,)."""
        label = self.space.label(x)
        assert label is not None
        return torch.bincount(label, minlength=10).double() / len(x)

    def quality(self, x: Tensor) -> dict[str, Any]:
        features, classes = self.space.of(x), self._classes(x)
        near, found = manifold(features, self.features), estimate(frechet_distance, features, self.features)
        apart = (classes * (classes.clamp(min=1e-12) / self.classes.clamp(min=1e-12)).log()).sum()
        return {
            "frechet": found.value,
            "frechet_error": found.error,
            "precision": near.precision,
            "coverage": near.coverage,
            "uneven": float(apart),
            "classes": [round(float(share), 4) for share in classes],
        }

    def judged(self, path: Path) -> tuple[dict[str, Any], Tensor]:
        """Size, speed and quality of the diffusion model at `path`, and its samples."""
        model = load(path)
        began = time.perf_counter()
        x = model.draw(DRAWN, seed=1)
        seconds = (time.perf_counter() - began) / DRAWN
        noised = Rng(0).normal(torch.empty(TIMED, *model.seen.shape))
        return {
            "numbers": model.seen.dimensions,
            "parameters": networks.parameters(model),
            "updates": model.summary.get("steps"),
            "steps": int(model.config["sampling"]["steps"]),
            "ms_per_step": 1e3 * fastest(lambda: model(noised, 0.5)) / TIMED,
            "ms_per_sample": 1e3 * seconds,
        } | self.quality(x), x

    def bits(self, path: Path, bound: Callable[[Model], Likelihood]) -> dict[str, Any]:
        """What held-out pictures cost under the diffusion model at `path`: bits per dimension, and its terms."""
        model = load(path)
        part = score(model, self.data, self.held[:SCORED], bound(model), name="held-out")
        bits, error = part.mean()
        terms = {k: float(bits_per_dim(nats.mean(), model.spec.dimensions)) for k, nats in part.bound.terms.items()}
        return {"bits_per_dim": bits, "error": error, "terms": terms}

    def sheet(self, file: str, rows: list[Tensor]) -> None:
        """Held-out pictures and some of each kind, two lines each."""
        kinds = [to_picture(x[:SHOWN], self.data.spec) for x in [self.real, *rows]]
        parts = [pictures.grid(kind, columns=SHOWN // 2) for kind in kinds]
        rule = np.full((6, *parts[0].shape[1:]), 90, np.uint8)
        ruled = np.concatenate([part for grid in parts for part in (grid, rule)][:-1])
        Path(file).write_bytes(pictures.png(ruled))


def fastest(call: Callable[[], Any], repeats: int = 7) -> float:
    """Seconds of a call: the fastest of some."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return min(spent)


def plain_run(source: str, updates: int, chosen: Config, path: Path, **options: Any) -> None:
    """A run as `reverie train --label none --training.batch 128` would make it."""
    training = {**chosen.get("training", {}), "batch": 128, "steps": updates, "previews": 1, "checkpoints": 1}
    whole = {**chosen, "training": training}
    if code := Session.begin(source, whole, path=path, reading={"label": "none"}, **options).go():
        raise SystemExit(code)  # stopped by a signal: not what was asked for


def trained(runs: Path, make: Mapping[str, Callable[[Path], Any]]) -> dict[str, float]:
    """What `runs` lacks is made, each in its folder; returns the core seconds of all, kept in `runs/spent.json`."""
    runs.mkdir(parents=True, exist_ok=True)
    kept = runs / "spent.json"
    spent = json.loads(kept.read_text()) if kept.exists() else {}
    for name, call in make.items():
        if name not in spent:
            began = time.process_time()
            call(runs / name)
            spent[name] = round(time.process_time() - began, 1)
            kept.write_text(json.dumps(spent))
    return spent


def report(name: str, scene: Scene, rows: dict[str, Any], sheets: list[Tensor], asked: argparse.Namespace) -> None:
    """The table, the sheet and the file of results."""
    if asked.picture:
        scene.sheet(asked.picture, sheets)
    result = {"updates": asked.updates, "models": {"floor": scene.floor, **rows}}
    print(side_by_side(result))
    write(f"{name}_{scene.data.spec.name}", result)


def parser(text: str | None, updates: int) -> argparse.ArgumentParser:
    """The options that all of these benchmarks have."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data")
    made.add_argument("--updates", type=int, default=updates)
    made.add_argument("--out", required=True, metavar="RUNS")
    made.add_argument("--picture", metavar="FILE")
    return made
