"""A short training run without a folder: fresh examples, Adam, a falling rate and averaged weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from reverie.core.rng import Rng
from reverie.training.ema import Average
from reverie.training.loop import plan

PROBE = 12  # updates that are timed where a length is given in minutes


def fit(
    module: nn.Module,
    loss: Callable[..., Tensor],
    draw: Callable[[int, Rng], Tensor],
    *,
    updates: int,
    size: int,
    rate: float,
    beta1: float = 0.9,
    average: float = 0.1,
    seed: int = 0,
) -> Iterator[float]:
    """Update `updates` times on `size` fresh examples each, yielding losses; then the weights become their average.

    `loss(module, x, rng=…)` is (B,). The rate falls to 0 by half a cosine; `average` is the average's length as a
    share of the run, 0 for none. Every draw is a function of the seed and the update's number.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=rate, betas=(beta1, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    averaged, seeds = Average(module, average), Rng(seed).fork("fit")
    for update in range(updates):
        rng = seeds.fork(update)
        value = loss(module, draw(size, rng.fork("data")), rng=rng).mean()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update(update + 1)
        yield float(value.detach())
    module.load_state_dict(averaged.module.state_dict())


def length(updates: Callable[[int], Iterator[float]], *, minutes: float | None, steps: int | None, usual: int) -> int:
    """How many updates a run takes: what `minutes` buy by the time of the first ones, `steps` of them at most.

    `updates(n)` begins a run of n; without minutes and steps it is `usual`.
    """
    if minutes is None:
        return steps or usual
    durations, began = [], time.perf_counter()
    for _ in updates(PROBE):
        durations.append(time.perf_counter() - began)
        began = time.perf_counter()
    return min(plan(durations, 60 * minutes), steps or sys.maxsize)
