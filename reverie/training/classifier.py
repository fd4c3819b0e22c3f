"""A classifier of noisy data, p(y | x_t), trained by itself and kept as a model folder of its own.

It reads x_t scaled to the data's spread and the noise level σ/α alone, so that one classifier serves every schedule:
    x = x_0 + r ε,  log r uniform;      loss  −log p(y | x/√(s² + r²), r)
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
from reverie.training.view import Silent, View

KIND = "classifier"
QUIETEST, LOUDEST = 0.01, 50.0  # noise levels σ/α that are trained
REPORTED = (0.0, 0.5, 1.0, 2.0)  # noise levels at which held-out accuracy is told


@dataclass(frozen=True)
class LabelModel:
    """A trained classifier with the description of its data; `on` makes it one for a process."""

    network: nn.Module
    spec: Spec
    config: dict[str, Any]
    summary: dict[str, Any]

    def on(self, process: Gaussian) -> NoisyClassifier:
        """p(y | x_t) for this process's x_t."""
        return NoisyClassifier(process, self.network, data_std=self.spec.std, quietest=QUIETEST)

    def log_probs(self, x: Tensor, ratio: float = 0.0) -> Tensor:
        """log p(y | x) for x = x_0 + ratio ε, (B, classes)."""
        level = torch.full((len(x),), ratio)
        return logits(self.network, x, level, self.spec.std).log_softmax(1)


def logits(network: nn.Module, x: Tensor, ratio: Tensor, data_std: float) -> Tensor:
    """The network's answer to x (B, *D) at noise levels σ/α (B,), scaled as a denoiser's input is."""
    scaled = x / expand((data_std**2 + ratio**2).sqrt(), x)
    noise = (ratio.clamp(min=QUIETEST).log() / 4).clamp(max=5)  # less was never trained on
    return network(scaled, noise.to(scaled))


def fit(
    dataset: Dataset, network: nn.Module, *, index: Tensor, steps: int, batch: int, rate: float, seed: int
) -> Iterator[float]:
    """Adam with a cosine fall; yields the loss after every update. Update k draws from (seed, k) alone."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    span = math.log(LOUDEST / QUIETEST)
    for step in range(steps):
        rng = Rng(seed).fork("classifier", step)
        rows = index[rng.fork("rows").integers(batch, len(index))]
        x0, label = dataset.rows(rows), dataset.labels(rows)
        assert label is not None
        ratio = (math.log(QUIETEST) + span * rng.fork("level").uniform(batch)).exp().to(x0)
        noisy = x0 + expand(ratio, x0) * rng.fork("noise").normal(x0)
        loss = F.cross_entropy(logits(network, noisy, ratio, dataset.spec.std), label)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        yield float(loss.detach())


def train_classifier(
    dataset: Dataset,
    path: str | Path,
    *,
    network: dict[str, Any] | None = None,
    steps: int = 1500,
    batch: int = 128,
    rate: float = 2e-3,
    holdout: float = 0.1,
    seed: int = 0,
    view: View | None = None,
) -> LabelModel:
    """Train on a labelled dataset and write the folder `path`: config.json and model.safetensors.

    Raises UserError for data without labels or with one class, an unknown network option, or an existing folder.
    """
    view, spec, folder = view or Silent(), dataset.spec, Path(path)
    if len(spec.classes) < 2:
        raise UserError(f"a classifier needs data with labels of 2 classes or more; '{spec.name}' has none")
    if folder.exists():
        raise UserError(f"'{path}' already exists; choose another folder with --out")
    if steps < 1 or batch < 1:
        raise UserError(f"steps and batch must be at least 1, not {steps} and {batch}")
    described = {"name": "classifier", **_suited(spec), **(network or {})}
    built = _network(described, spec)
    networks.initialise(built, seed)
    train, held = dataset.split(holdout, seed)
    view.say(f"classifier of {len(spec.classes)} classes: {steps} updates of {batch} on {len(train)} examples")
    loss = math.nan
    for loss in fit(dataset, built, index=train, steps=steps, batch=batch, rate=rate, seed=seed):
        if not math.isfinite(loss):
            raise FloatingPointError("the classifier's loss is not finite; lower the learning rate")
    config = {"network": described, "steps": steps, "batch": batch, "learning_rate": rate, "seed": seed}
    model = LabelModel(built.eval().requires_grad_(False), spec, config, {"loss": loss})
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
    """A network for the shape: one block for points, patches of pixels and more levels for larger images."""
    if len(spec.shape) == 1:
        return {"width": 128, "levels": 1}
    longest = max(spec.shape[1:])
    if longest <= 16:
        return {"width": 32, "levels": 2}
    return {"width": 48, "levels": 2 if longest <= 32 else 3, "patch": 2}


def _network(described: dict[str, Any], spec: Spec) -> nn.Module:
    if described.get("name") not in catalog.names("networks", "Labeller"):
        raise UserError(f"unknown classifier '{described.get('name')}'")
    return catalog.build("networks", described, where="network", shape=tuple(spec.shape), classes=len(spec.classes))
