"""Guidance by name, for the command line: `cfg`, `classifier:RUN`, `auto:RUN`, or a named prior such as `smoothness`.

>>> steering = guide("cfg", model, label="3", scale=1.5)                                    # doctest: +SKIP
>>> x = model.draw(16, label=steering.label, wrap=steering.wrap)                            # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reverie.core import catalog
from reverie.core.errors import UserError, unknown
from reverie.denoisers import Condition, Denoiser, gaussian
from reverie.guidance import Auto, Classifier, ClassifierFree, Potential
from reverie.training.classifier import LabelModel, load_classifier
from reverie.training.model import Model, load

KINDS = ("cfg", "classifier:RUN", "auto:RUN")


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


def guide(spec: str, model: Model, *, label: str | int | None = None, strength: Strength | None = None) -> Steering:
    """The steering that `spec` names. Raises UserError for an unknown one, or one that the model cannot take."""
    strength = strength or Strength()
    try:
        gaussian(model)
    except ValueError as error:
        raise UserError(f"guidance: {error}") from error
    name, _, rest = spec.partition(":")
    if strength.negative is not None and name != "cfg":
        raise UserError(f"--guide.negative is an option of --guide cfg, not of '{spec}'")
    if strength.rescale and name not in ("cfg", "auto"):
        raise UserError(f"--guide.rescale is an option of --guide cfg and auto, not of '{spec}'")
    if name == "cfg" and not rest:
        return _classifier_free(model, label, strength)
    if name in ("classifier", "auto"):
        if not rest:
            raise UserError(f"--guide {name} needs a folder: {name}:RUN")
        return _by_classifier(rest, label, model, strength) if name == "classifier" else _auto(rest, label, strength)
    rewards = catalog.names("guidance", "Reward")
    if name in rewards and not rest:
        return _prior(name, model, label, strength)
    raise unknown("guidance", spec, [*KINDS, *rewards])


def _classifier_free(model: Model, label: str | int | None, strength: Strength) -> Steering:
    if not model.spec.classes:
        raise UserError("--guide cfg steers towards labels, but this model was trained without labels")
    if label == "none":
        raise UserError("--guide cfg steers towards a label; --label none leaves nothing to steer to")
    negative = None
    if strength.negative is not None:
        negative = Condition(torch.tensor([model.spec.label(strength.negative)]))
    options = {**strength.interval, "rescale": strength.rescale}
    return Steering(lambda inner: ClassifierFree(inner, negative=negative, **options), label)


def _auto(run: str, label: str | int | None, strength: Strength) -> Steering:
    worse = load(run)

    def wrap(inner: Denoiser) -> Denoiser:
        try:
            return Auto(inner, worse, **strength.interval, rescale=strength.rescale)
        except ValueError as error:
            raise UserError(f"auto:{run}: {error}") from error

    return Steering(wrap, label)


def _by_classifier(run: str, label: str | int | None, model: Model, strength: Strength) -> Steering:
    labels = load_classifier(run)
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


def _prior(name: str, model: Model, label: str | int | None, strength: Strength) -> Steering:
    try:
        reward = catalog.build("guidance", {"name": name})
        reward(torch.zeros(1, *model.spec.shape))
    except (ValueError, UserError, IndexError) as error:
        raise UserError(f"--guide {name}: {error}") from error
    return Steering(lambda inner: Potential(inner, reward, **strength.interval), label)
