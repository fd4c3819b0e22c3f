"""The training loop is a generator: it yields after every update, and the caller logs, saves, draws and stops.

>>> for progress in train(run, steps=100):                                     # doctest: +SKIP
...     print(progress.step, progress.loss)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.data import Dataset
from reverie.denoisers import Denoiser
from reverie.losses import Loss, TimedLoss
from reverie.training.model import device_of
from reverie.training.run import Run
from reverie.training.scoring import condition_of


@dataclass(frozen=True)
class Progress:
    """After an update: its number, what it saw, its learning rate, and how long one takes at present in seconds.

    `seen` holds the loss and the gradient norm on the training device; reading one as a number waits for the device.
    """

    step: int
    seen: Tensor
    learning_rate: float
    seconds: float

    @property
    def loss(self) -> float:
        return float(self.seen[0])

    @property
    def grad_norm(self) -> float:
        return float(self.seen[1])


def train(run: Run, *, steps: int | None = None) -> Iterator[Progress]:
    """Update until `steps` (in all, counted from the start of the run) or, if None, until `run.planned`."""
    spent, done, seconds = 0.0, 0, 0.0
    while (limit := steps if steps is not None else run.planned) is None or run.step < limit:
        began, rate = time.perf_counter(), run.rate(run.step)
        seen = run.update()
        spent, done = spent + time.perf_counter() - began, done + 1
        if done == run.glance or not seconds:  # in between, a GPU has not caught up with the clock
            spent, done, seconds = 0.0, 0, spent / done
        yield Progress(run.step, seen, rate, seconds)


def plan(durations: Sequence[float], left: float) -> int:
    """How many more updates fit into `left` seconds, from the durations of the last ones: at least one.

    A twentieth is kept for previews and checkpoints. The median is not moved by the warm-up of the first updates.
    """
    typical = sorted(durations)[len(durations) // 2]
    return max(1, int(0.95 * left / typical))


Curve = list[tuple[float, float]]  # (t, loss)


def held_out_loss(run: Run) -> tuple[float, Curve]:
    """The averaged weights' loss on held-out examples. NaN without held-out data."""
    if not len(run.held_index):
        return float("nan"), []
    return loss_by_time(run.average.module, run.loss, run.feed.dataset, run.held_index, seed=run.seed)


@torch.inference_mode()
def loss_by_time(
    denoiser: Denoiser, loss: Loss, dataset: Dataset, index: Tensor, *, seed: int, levels: int = 8, count: int = 256
) -> tuple[float, Curve]:
    """The loss on the first `count` of these examples: the mean, and by `levels` quantiles of training times.

    The same examples, times and noise at every call, so that the curve over a run is smooth.
    """
    device = device_of(denoiser)
    x0, condition = dataset.rows(index[:count]).to(device), condition_of(dataset, index[:count], device)
    bound = denoiser if condition is None else denoiser.given(condition)
    rng = Rng(seed).fork("held out")
    if not isinstance(loss, TimedLoss):
        return float(loss(bound, x0, rng=rng).mean()), []
    u = (torch.arange(levels, dtype=torch.float64) + 0.5) / levels
    curve = []
    for k, t in enumerate(loss.times.quantile(u, denoiser.process)):
        curve.append((float(t), float(loss.at(bound, x0, t.expand(len(x0)), rng=rng.fork(k)).mean())))
    return sum(value for _, value in curve) / levels, curve
