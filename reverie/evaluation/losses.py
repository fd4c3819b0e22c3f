"""What held-out data cost under a model, in bits and by noise level, beside the best that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.data import Dataset
from reverie.denoisers import Denoiser, EmpiricalData
from reverie.losses import TimedLoss
from reverie.processes import Gaussian
from reverie.training.assemble import build_loss
from reverie.training.codes import seen
from reverie.training.model import Model
from reverie.training.scoring import Effort, condition_of, likelihood_for, score

SCORED = 200  # held-out examples that bits per dimension are measured on
LEVELS = 8  # noise levels of the loss curves
KNOWN = 5000  # training examples that the best possible loss is computed from, at most
SHOWN = 256  # examples that losses are averaged over


def bits_per_dim(
    model: Model, dataset: Dataset, held_index: Tensor, seed: int, progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """What held-out data cost: bits per dimension with a standard error."""
    method = "elbo" if not isinstance(model.process, Gaussian) else "vlb" if dataset.spec.scale.bins else "ode"
    effort = Effort(min(SCORED, len(held_index)))
    likelihood = likelihood_for(model, method, effort)
    index = held_index[: effort.count]
    mean, error = score(model, dataset, index, likelihood, name="held-out", seed=seed, progress=progress).mean()
    levels = dataset.spec.scale.bins
    return {"method": method, "examples": effort.count, "value": mean, "error": error, "levels": levels}


@torch.inference_mode()
def losses(model: Model, dataset: Dataset, train_index: Tensor, held_index: Tensor) -> list[dict[str, float]]:
    """The loss by time on training and on held-out examples, beside the best that is possible on the training set.

    Below the best possible loss on training examples lies only memory of the noise; far below the held-out loss lies
    memory of the examples.
    """
    loss, dataset = build_loss(model.config), seen(dataset, model.stage)
    if not isinstance(loss, TimedLoss) or not isinstance(model.process, Gaussian):
        return []
    some = train_index[:: max(1, len(train_index) // SHOWN)][:SHOWN]
    u = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    known = train_index[:KNOWN]
    conditioned = bool(dataset.spec.conditions)  # by numbers: each example is then the only one of its kind
    best = EmpiricalData(model.process, dataset.rows(known), dataset.labels(known))
    curve = []
    for k, t in enumerate(loss.times.quantile(u, model.process)):
        row = {"t": float(t)}
        for name, index in (("train", some), ("held_out", held_index[:SHOWN])):
            row[name] = _loss(model, dataset, index, loss, t, k)
        if len(known) == len(train_index) and not conditioned:
            row["best_on_train"] = _loss(best, dataset, some, loss, t, k)
        curve.append(row)
    return curve


def _loss(model: Denoiser, dataset: Dataset, index: Tensor, loss: TimedLoss, t: Tensor, k: int) -> float:
    x0, condition = dataset.rows(index), condition_of(dataset, index, torch.device("cpu"))
    bound = model if condition is None else model.given(condition)
    return float(loss.at(bound, x0, t.expand(len(x0)), rng=Rng(k)).mean())
