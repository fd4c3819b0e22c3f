"""Guidance by name, for the command line: what it does to a model, and the label that samples are then asked for.

    cfg   classifier:RUN   auto[:RUN]   product:PART=WEIGHT,…   or a named prior such as smoothness

>>> steering = guide("cfg", model, label="3", scale=1.5)                                    # doctest: +SKIP
>>> x = model.draw(16, label=steering.label, wrap=steering.wrap)                            # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.core import catalog
from reverie.core.errors import UserError, unknown
from reverie.denoisers import Condition, Denoiser, gaussian
from reverie.guidance import Auto, Classifier, ClassifierFree, Identity, Potential, Product
from reverie.guidance.base import bind
from reverie.training.classifier import LabelModel, load_classifier, named
from reverie.training.model import Model, device_of, earliest, load
from reverie.training.reading import read_example

KINDS = ("cfg", "classifier:RUN", "auto", "auto:RUN", "product:PART,PART")
PARTS = "parts, each a label or a folder with a weight: product:3=1,5=0.5"


@dataclass(frozen=True)
class Steering:
    """`wrap` puts the guidance around a denoiser; `label` is what `Model.draw` is then asked for.

    `number` is the class that every sample was steered to, None where the labels are those of the draw.
    """

    wrap: Callable[[Denoiser], Denoiser]
    label: str | int | None
    number: int | None = None

    def labels(self, model: Model, count: int, first: int = 0) -> Tensor | None:
        """The labels that samples number first, first + 1, … were asked for, as numbers of the model's classes."""
        if self.number is None:
            return model.labels(count, self.label, first)
        return torch.full((count,), self.number) if model.spec.classes else None


@dataclass(frozen=True)
class Strength:
    """How strong a guidance is, and at which noise levels σ/α; `rescale` and `negative` are for cfg and auto."""

    scale: float = 1.0
    low: float = 0.0
    high: float = math.inf
    rescale: float = 0.0
    negative: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise UserError(f"--scale must be a finite number, not {self.scale}")
        if not 0 <= self.low < self.high:
            raise UserError(f"the interval of noise levels needs 0 <= low < high, not {self.low} and {self.high}")
        if not 0 <= self.rescale <= 1:
            raise UserError(f"--guide.rescale must be between 0 and 1, not {self.rescale}")

    @property
    def interval(self) -> dict[str, Any]:
        return {"scale": self.scale, "low": self.low, "high": self.high}


def guide(
    spec: str,
    model: Model,
    *,
    label: str | int | None = None,
    strength: Strength | None = None,
    options: Mapping[str, Any] | None = None,
    run: str | Path | None = None,
) -> Steering:
    """The steering that `spec` names, of the model in the folder `run`; `options` are those of a named prior.

    Raises UserError for an unknown one, one that the model cannot take, or an option that it does not have.
    """
    strength, options = strength or Strength(), dict(options or {})
    try:
        gaussian(model)
    except ValueError as error:
        raise UserError(f"guidance: {error}") from error
    name, _, rest = spec.partition(":")
    rewards = catalog.names("guidance", "Reward")
    if model.stage is not None and (name == "classifier" or name in rewards):
        raise UserError(f"--guide {name} reads data, but this model works in an autoencoder's codes; use cfg or auto")
    _own_options(spec, strength, options if name not in rewards else {})
    if name == "cfg" and not rest:
        return _classifier_free(model, label, strength)
    if name == "auto":
        device = device_of(model)
        worse = load(rest, device=device) if rest else earliest(run or ".", device=device)
        return _auto(spec, worse, label, strength)
    if name in ("classifier", "product"):
        if not rest:
            raise UserError(f"--guide {name} needs {'a folder: classifier:RUN' if name == 'classifier' else PARTS}")
        return (_by_classifier if name == "classifier" else _product)(rest, model, label, strength)
    if name in rewards and not rest:
        return _prior({"name": name, **options}, model, label, strength)
    raise unknown("guidance", spec, [*KINDS, *rewards])


def _own_options(spec: str, strength: Strength, others: Mapping[str, Any]) -> None:
    """Refuse an option of another guidance."""
    name = spec.partition(":")[0]
    if strength.negative is not None and name != "cfg":
        raise UserError(f"--guide.negative is an option of --guide cfg, not of '{spec}'")
    if strength.rescale and name not in ("cfg", "auto"):
        raise UserError(f"--guide.rescale is an option of --guide cfg and auto, not of '{spec}'")
    for option in others:
        raise UserError(f"--guide.{option} is an option of a named prior, not of '{spec}'")


def _classifier_free(model: Model, label: str | int | None, strength: Strength) -> Steering:
    if not model.spec.classes:
        raise UserError("--guide cfg steers towards labels, but this model was trained without labels")
    if label == "none":
        raise UserError("--guide cfg steers towards a label; --label none leaves nothing to steer to")
    negative = None
    if strength.negative is not None:
        negative = Condition(torch.tensor([model.spec.label(strength.negative)], device=device_of(model)))
    options = {**strength.interval, "rescale": strength.rescale}
    return Steering(lambda inner: ClassifierFree(inner, negative=negative, **options), label)


def _auto(spec: str, worse: Model, label: str | int | None, strength: Strength) -> Steering:
    def wrap(inner: Denoiser) -> Denoiser:
        try:
            return Auto(inner, worse, **strength.interval, rescale=strength.rescale)
        except ValueError as error:
            raise UserError(f"{spec}: {error}") from error

    return Steering(wrap, label)


def _product(rest: str, model: Model, label: str | int | None, strength: Strength) -> Steering:
    """The model without a label, times each part over it: p(x) Π (p_k(x)/p(x))^w."""
    if label is not None:
        raise UserError("--guide product names its labels itself; leave out --label")
    named = [part.partition("=") for part in rest.split(",")]
    parts = [_part(name, model) for name, _, _ in named]
    weights = tuple(_weight(weight) if equals else 1.0 for _, equals, weight in named)
    try:
        Product(model, parts, weights=weights)
    except ValueError as error:
        raise UserError(f"product:{rest}: {error}") from error
    return Steering(
        lambda inner: Product(inner, parts, weights=weights, **strength.interval),
        "none" if model.spec.classes else None,
    )


def _part(name: str, model: Model) -> Denoiser:
    """The model with the label of this name, or else the model in this folder."""
    if name in model.spec.classes:
        return bind(model, Condition(torch.tensor([model.spec.label(name)], device=device_of(model))))
    if not Path(name).exists():
        raise unknown("part of a product (a label, or a folder):", name, model.spec.classes)
    other = load(name, device=device_of(model))
    if other.spec.shape != model.spec.shape:
        raise UserError(f"the part '{name}' is for {other.spec.shape}, the model for {model.spec.shape}")
    return other


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{PARTS}: a weight is a number, not '{text}'") from None


def _by_classifier(run: str, model: Model, label: str | int | None, strength: Strength) -> Steering:
    labels = load_classifier(run)
    if labels.observed is not None:
        told = named(labels.observed)
        raise UserError(f"the classifier '{run}' reads observations ({told}): use it as --label classifier:{run}")
    labels.network.to(device_of(model))
    if labels.spec.shape != model.spec.shape:
        raise UserError(f"the classifier '{run}' is for {labels.spec.shape}, the model for {model.spec.shape}")
    if label == "none":
        raise UserError("--guide classifier steers towards a label; --label none leaves nothing to steer to")
    if label is not None and label != "each":
        number = labels.spec.label(str(label))
        own = _own_number(labels, number, model)
        fixed = torch.tensor([number])
        return Steering(
            lambda inner: Classifier(inner, labels.on(gaussian(inner)), label=fixed, **strength.interval),
            "none" if model.spec.classes else None,
            own,
        )
    if labels.spec.classes != model.spec.classes:
        raise UserError("name one label with --label: the model does not have the classifier's classes")
    return Steering(lambda inner: Classifier(inner, labels.on(gaussian(inner)), **strength.interval), label)


def _own_number(labels: LabelModel, number: int, model: Model) -> int | None:
    """The classifier's class as a number of the model's classes."""
    name = labels.spec.classes[number]
    return model.spec.classes.index(name) if name in model.spec.classes else None


def _prior(described: dict[str, Any], model: Model, label: str | int | None, strength: Strength) -> Steering:
    name, shape = described["name"], tuple(model.spec.shape)
    for option in catalog.options("guidance", name):
        if not option.default and option.name not in described:
            raise UserError(f"--guide {name} needs --guide.{option.name}")
    given: dict[str, Any] = {}
    try:
        if "reference" in described:
            given["reference"] = read_example(described.pop("reference"), model.spec, Identity(shape), whole=True)[0]
        reward = catalog.build("guidance", described, **given)
        reward(torch.zeros(1, *shape))
    except (ValueError, UserError, IndexError) as error:
        raise UserError(f"--guide {name}: {error}") from error
    return Steering(lambda inner: Potential(inner, reward, **strength.interval), label)
