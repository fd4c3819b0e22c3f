"""A classifier of noisy data, p(c | x_t), or of what is seen of an example, p(c | y), kept as a folder of its own.

Noisy data are scaled to the data's spread and come with the noise level σ/α alone, so that one serves every schedule:
    x = x_0 + r ε,  log r ~ N(½, 1½²);      loss  −log p(c | x/√(s² + r²), r)
Of observations y = A x_0 + σ_y n it reads A⁺ y; it makes a restoration a sum over labels, Σ_c p(c | y) p(x_0 | c, y).
Reference: Dhariwal & Nichol 2021, arXiv:2105.05233, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from reverie.guidance import NoisyClassifier, Observation, Operator
from reverie.processes import Gaussian
from reverie.training import kept
from reverie.training.fitting import fit, length
from reverie.training.view import Silent, View

KIND = "classifier"
CENTRE, SPREAD = 0.5, 1.5  # of log σ/α in training: labels are decided where noise is 1 to 20 times the data's spread
TOLD = (0.05, 50.0)  # σ/α that the network is told of at least and at most: training hardly knows what lies beyond
REPORTED = (0.0, 0.5, 1.0, 2.0, 5.0)  # noise levels at which held-out accuracy is told
USUAL = 2000  # updates
PROBES = 8  # numbers by which an operator is known again


@dataclass(frozen=True)
class Sight:
    """What is seen of an example, y = A x_0 + σ_y n in model units; `told` is how a record names the operator."""

    operator: Operator
    noise: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)

    def of(self, x0: Tensor, rng: Rng) -> Tensor:
        """A⁺ y of every example, (B, *shape)."""
        y = self.operator.apply(x0)
        return self.operator.inverse(y + self.noise * rng.fork("sight").normal(y) if self.noise else y)

    def probe(self) -> list[float]:
        """Means of A⁺A ε at some places, which up to rounding are the same for the same operator alone."""
        eps = Rng(0).fork("probe").normal(torch.empty(1, *self.operator.shape))
        through = self.operator.inverse(self.operator.apply(eps)).flatten()
        places = Rng(0).fork("places").integers(PROBES * 8, len(through))
        return [round(float(part), 5) for part in through[places].reshape(PROBES, 8).mean(1)]


@dataclass(frozen=True)
class LabelModel:
    """A trained classifier with the description of its data.

    One of noisy data is made one for a process by `on`; one of observations (`observed` says which) is asked by `read`.
    """

    network: nn.Module
    spec: Spec
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def observed(self) -> dict[str, Any] | None:
        """What of an example it was trained to read; None: noisy data."""
        found = self.config.get("observed")
        return found if isinstance(found, dict) else None

    def on(self, process: Gaussian) -> NoisyClassifier:
        """p(c | x_t) for this process's x_t. Raises UserError for a classifier of observations."""
        if self.observed is not None:
            raise UserError(f"this classifier reads observations ({named(self.observed)}), not noisy data")
        return NoisyClassifier(process, self.network, data_std=self.spec.std, told=TOLD)

    def log_probs(self, x: Tensor, ratio: float = 0.0) -> Tensor:
        """log p(c | x) for x = x_0 + ratio ε, (B, classes)."""
        level = torch.full((len(x),), ratio)
        return logits(self.network, x, level, self.spec.std).log_softmax(1)

    @torch.inference_mode()
    def read(self, observation: Observation) -> Tensor:
        """p(c | y), (B, classes). Raises UserError unless it was trained on observations of this kind."""
        if self.observed is None:
            raise UserError("this classifier reads noisy data; one of observations is trained with --task, as restored")
        seen, own = Sight(observation.operator, observation.noise), self.observed
        if tuple(observation.operator.shape) != tuple(self.spec.shape):
            raise UserError(f"this classifier is for {tuple(self.spec.shape)}, not {tuple(observation.operator.shape)}")
        if observation.noise != own["noise"]:
            raise UserError(f"this classifier reads observations with noise {own['noise']}, not {observation.noise}")
        if not torch.allclose(torch.tensor(seen.probe()), torch.tensor(own["probe"]), atol=1e-3):
            raise UserError(f"this classifier reads other observations: {named(own)}")
        device = next(self.network.parameters()).device
        back = observation.operator.inverse(observation.y.to(device))
        return self.log_probs(back).float().exp().cpu()


def named(observed: dict[str, Any]) -> str:
    """A kind of observation in words: task inpaint, part left, noise 0.05."""
    kept = {k: v for k, v in observed.items() if k != "probe" and v not in (None, "", 0.0)}
    return ", ".join(f"{key} {value}" for key, value in kept.items())


def logits(network: nn.Module, x: Tensor, ratio: Tensor, data_std: float) -> Tensor:
    """The network's answer to x (B, *D) at noise levels σ/α (B,), scaled as a denoiser's input is."""
    scaled = x / expand((data_std**2 + ratio**2).sqrt(), x)
    return network(scaled, (ratio.clamp(*TOLD).log() / 4).to(scaled))


def cost(
    network: nn.Module, x0: Tensor, label: Tensor, *, data_std: float, rng: Rng, sight: Sight | None = None
) -> Tensor:
    """−log p(label | x_0 + r ε, r) in nats, (B,), at noise levels of training; of what is seen −log p(label | y)."""
    if sight is not None:
        found = logits(network, sight.of(x0, rng), torch.zeros(len(x0)), data_std)
        return F.cross_entropy(found.float(), label, reduction="none")
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
    sight: Sight | None = None,
    view: View | None = None,
) -> LabelModel:
    """Train on a labelled dataset and write the folder `path`: config.json and model.safetensors.

    It learns to read noisy data, or with `sight` what is seen of an example. `minutes` are turned into updates by
    timing the first ones; 2000 of them where neither is given. Raises UserError for data without labels or with one
    class, an unknown network option, or an existing folder.
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
            return cost(network, dataset.rows(rows), label, data_std=spec.std, rng=rng, sight=sight)

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
    if sight is not None:
        config["observed"] = {**sight.told, "noise": sight.noise, "probe": sight.probe()}
    model = LabelModel(built.eval().requires_grad_(False), spec, config, {"loss": value})
    if len(held):
        model.summary["held_out"] = accuracies(model, dataset, held, sight=sight)
        told = ", ".join(f"{a:.1%} at σ/α {r:g}" for r, a in model.summary["held_out"])
        if model.observed is not None:
            told = f"{model.summary['held_out'][0][1]:.1%} by what is seen ({named(model.observed)})"
        view.say(f"held-out accuracy: {told}")
    files.make_folder(folder.parent)
    files.write_folder(folder, kept.contents(KIND, spec, config, model.summary, model.network))
    view.say(f"written: {folder}")
    return model


@torch.inference_mode()
def accuracies(
    model: LabelModel, dataset: Dataset, index: Tensor, *, sight: Sight | None = None, most: int = 2000
) -> list[tuple[float, float]]:
    """(noise level, share of held-out examples whose label is named rightly); of what is seen without noise level."""
    x0, label = dataset.rows(index[:most]), dataset.labels(index[:most])
    assert label is not None
    if sight is not None:
        found = model.log_probs(sight.of(x0, Rng(0).fork("accuracy"))).argmax(1)
        return [(0.0, float(torch.eq(found, label).double().mean()))]
    eps = Rng(0).fork("accuracy").normal(x0)
    guesses = [model.log_probs(x0 + ratio * eps, ratio).argmax(1) for ratio in REPORTED]
    return [
        (ratio, float(torch.eq(guess, label).double().mean())) for ratio, guess in zip(REPORTED, guesses, strict=True)
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
