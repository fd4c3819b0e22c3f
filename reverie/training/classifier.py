"""A classifier of noisy data, p(y | x_t), trained by itself and kept as a model folder of its own.

It reads x_t scaled to the data's spread and the noise level σ/α alone, so that one classifier serves every schedule:
    x = x_0 + r ε,  log r ~ N(½, 1½²);      loss  −log p(y | x/√(s² + r²), r)
Reference: Dhariwal & Nichol 2021, arXiv:2105.05233, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie import networks
from reverie.core import catalog, files
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.data import Dataset, Spec
from reverie.guidance import NoisyClassifier
from reverie.processes import Gaussian
from reverie.training import kept
from reverie.training.fitting import fit, length
from reverie.training.view import Silent, View

KIND = "classifier"
CENTRE, SPREAD = 0.5, 1.5  # of log σ/α in training: labels are decided where noise is 1 to 20 times the data's spread
TOLD = (0.05, 50.0)  # σ/α that the network is told of at least and at most: training hardly knows what lies beyond
REPORTED = (0.0, 0.5, 1.0, 2.0, 5.0)  # noise levels at which held-out accuracy is told
USUAL = 2000  # updates


@dataclass(frozen=True)
class LabelModel:
    """A trained classifier with the description of its data; `on` makes it one for a process."""

    network: nn.Module
    spec: Spec
    config: dict[str, Any]
    summary: dict[str, Any]

    def on(self, process: Gaussian) -> NoisyClassifier:
        """p(y | x_t) for this process's x_t."""
        return NoisyClassifier(process, self.network, data_std=self.spec.std, told=TOLD)

    def log_probs(self, x: Tensor, ratio: float = 0.0) -> Tensor:
        """log p(y | x) for x = x_0 + ratio ε, (B, classes)."""
        level = torch.full((len(x),), ratio)
        return logits(self.network, x, level, self.spec.std).log_softmax(1)


def logits(network: nn.Module, x: Tensor, ratio: Tensor, data_std: float) -> Tensor:
    """The network's answer to x (B, *D) at noise levels σ/α (B,), scaled as a denoiser's input is."""
    scaled = x / expand((data_std**2 + ratio**2).sqrt(), x)
    return network(scaled, (ratio.clamp(*TOLD).log() / 4).to(scaled))


def cost(network: nn.Module, x0: Tensor, label: Tensor, *, data_std: float, rng: Rng) -> Tensor:
    """−log p(label | x_0 + r ε, r) in nats, (B,), at noise levels of training."""
    ratio = (CENTRE + SPREAD * rng.fork("level").normal(x0.new_empty(len(x0), 1))[:, 0]).exp()
    noisy = x0 + expand(ratio, x0) * rng.fork("noise").normal(x0)
    return F.cross_entropy(logits(network, noisy, ratio, data_std).float(), label, reduction="none")


def train_classifier(
    dataset: Dataset,
    path: str | Path,
    *,
    network: dict[str, Any] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch: int = 128,
    rate: float = 2e-3,
    holdout: float = 0.1,
    seed: int = 0,
    view: View | None = None,
) -> LabelModel:
    """Train on a labelled dataset and write the folder `path`: config.json and model.safetensors.

    `minutes` are turned into updates by timing the first ones; 2000 of them where neither is given. Raises UserError
    for data without labels or with one class, an unknown network option, or an existing folder.
    """
    view, spec, folder = view or Silent(), dataset.spec, Path(path)
    if len(spec.classes) < 2:
        raise UserError(f"a classifier needs data with labels of 2 classes or more; '{spec.name}' has none")
    if folder.exists():
        raise UserError(f"'{path}' already exists; choose another folder with --out")
    if (steps is not None and steps < 1) or batch < 1:
        raise UserError(f"steps and batch must be at least 1, not {steps} and {batch}")
    built = _network({"name": "classifier", **_suited(spec), **(network or {})}, spec)
    described = {k: v for k, v in catalog.describe("networks", built).items() if k not in ("shape", "classes")}
    networks.keep_memory()
    train, held = dataset.split(holdout, seed)
    precision = networks.precision("auto" if len(spec.shape) > 1 else "fp32")

    def loss(network: nn.Module, rows: Tensor, *, rng: Rng) -> Tensor:
        label = dataset.labels(rows)
        assert label is not None
        with precision():
            return cost(network, dataset.rows(rows), label, data_std=spec.std, rng=rng)

    def draw(count: int, rng: Rng) -> Tensor:
        return train[rng.integers(count, len(train))]

    def updates(count: int) -> Iterator[float]:
        networks.initialise(built, seed)
        return fit(built, loss, draw, updates=count, size=batch, rate=rate, seed=seed)

    steps = length(updates, minutes=minutes, steps=steps, usual=USUAL)
    view.say(f"classifier of {len(spec.classes)} classes: {steps} updates of {batch} on {len(train)} examples")
    for number, value in enumerate(updates(steps), 1):
        if not math.isfinite(value):
            raise FloatingPointError("the classifier's loss is not finite; lower the learning rate")
        if number % max(1, steps // 10) == 0:
            view.say(f"update {number}: {value:.4f} nats")
    config = {"network": described, "steps": steps, "batch": batch, "learning_rate": rate, "seed": seed}
    model = LabelModel(built.eval().requires_grad_(False), spec, config, {"loss": value})
    if len(held):
        model.summary["held_out"] = accuracies(model, dataset, held)
        told = ", ".join(f"{a:.1%} at σ/α {r:g}" for r, a in model.summary["held_out"])
        view.say(f"held-out accuracy: {told}")
    files.make_folder(folder.parent)
    files.write_folder(folder, kept.contents(KIND, spec, config, model.summary, model.network))
    view.say(f"written: {folder}")
    return model


@torch.inference_mode()
def accuracies(model: LabelModel, dataset: Dataset, index: Tensor, *, most: int = 2000) -> list[tuple[float, float]]:
    """(noise level, share of held-out examples whose label is named rightly)."""
    x0, label = dataset.rows(index[:most]), dataset.labels(index[:most])
    eps = Rng(0).fork("accuracy").normal(x0)
    found = [model.log_probs(x0 + ratio * eps, ratio).argmax(1) for ratio in REPORTED]
    assert label is not None
    return [
        (ratio, float(torch.eq(guess, label).double().mean())) for ratio, guess in zip(REPORTED, found, strict=True)
    ]


def load_classifier(path: str | Path) -> LabelModel:
    """A classifier's folder. Raises UserError (exit code 65) for one that is damaged or something else."""
    found = kept.read(path, KIND, option="--classifier", build=lambda spec, made: _network(made["network"], spec))
    return LabelModel(found.network, found.spec, found.config, found.summary)


def _suited(spec: Spec) -> dict[str, Any]:
    """A network for the shape: one block for points; else patches, 16 a side (32 of large data), halved to 4."""
    if len(spec.shape) == 1:
        return {"width": 128, "levels": 1}
    longest, patch = max(spec.shape[1:]), 1
    while longest / patch > (16 if longest <= 32 else 32):
        patch *= 2
    levels = 1 + max(0, math.ceil(math.log2(longest / patch / 4)))
    return {"width": 32 if patch == 1 else 48, "levels": levels, "patch": patch}


def _network(described: dict[str, Any], spec: Spec) -> nn.Module:
    if described.get("name") not in catalog.names("networks", "Labeller"):
        raise UserError(f"unknown classifier '{described.get('name')}'")
    return catalog.build("networks", described, where="labeller", shape=tuple(spec.shape), classes=len(spec.classes))
