"""The training loop is a generator: it yields after every update, and the caller logs, saves, draws and stops.

>>> for progress in train(run, steps=100):                                     # doctest: +SKIP
...     print(progress.step, progress.loss)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from reverie.core.rng import Rng
from reverie.denoisers import Condition
from reverie.losses import TimedLoss
from reverie.training.run import Run


@dataclass(frozen=True)
class Progress:
    """After an update: its number, loss, gradient norm, learning rate, and how long it took in seconds."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float


def train(run: Run, *, steps: int | None = None) -> Iterator[Progress]:
    """Update until `steps` (in all, counted from the start of the run) or, if None, until `run.planned`."""
    while (limit := steps if steps is not None else run.planned) is None or run.step < limit:
        began, rate = time.perf_counter(), run.rate(run.step)
        loss, norm = run.update()
        yield Progress(run.step, loss, norm, rate, time.perf_counter() - began)


def plan(durations: Sequence[float], left: float) -> int:
    """How many more updates fit into `left` seconds, from the durations of the last ones: at least one.

    A twentieth is kept for previews and checkpoints. The median is not moved by the warm-up of the first updates.
    """
    typical = sorted(durations)[len(durations) // 2]
    return max(1, int(0.95 * left / typical))


@torch.inference_mode()
def held_out_loss(run: Run, *, levels: int = 8, count: int = 256) -> tuple[float, list[tuple[float, float]]]:
    """The averaged weights' loss on held-out examples: the mean, and (t, loss) at `levels` quantiles of training times.

    The same examples, times and noise at every call, so that the curve over a run is smooth. NaN without held-out data.
    """
    index = run.held_index[:count] if len(run.held_index) else run.held_index
    if not len(index):
        return float("nan"), []
    dataset, denoiser = run.feed.dataset, run.average.module
    x0 = dataset.rows(index).to(run.world.device)
    label, numbers = dataset.labels(index), dataset.condition(index)
    if label is not None or numbers is not None:
        device = run.world.device
        condition = Condition(
            None if label is None else label.to(device), None if numbers is None else numbers.to(device)
        )
        denoiser = denoiser.given(condition)
    rng = Rng(run.seed).fork("held out")
    if not isinstance(run.loss, TimedLoss):
        return float(run.loss(denoiser, x0, rng=rng).mean()), []
    u = (torch.arange(levels, dtype=torch.float64) + 0.5) / levels
    curve = []
    for k, t in enumerate(run.loss.times.quantile(u, denoiser.process)):
        losses = run.loss.at(denoiser, x0, t.expand(len(x0)), rng=rng.fork(k))
        curve.append((float(t), float(losses.mean())))
    return sum(value for _, value in curve) / levels, curve
