"""A short training run without a folder: fresh examples, Adam, a falling rate and averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.losses import Loss
from reverie.training.ema import Average


def fit(
    denoiser: Denoiser,
    loss: Loss,
    draw: Callable[[int, Rng], Tensor],
    *,
    updates: int,
    size: int,
    rate: float,
    average: float = 0.1,
) -> Iterator[float]:
    """Update `updates` times on `size` fresh examples each, yielding losses; then the weights become their average.

    The rate falls to 0 by half a cosine; `average` is the average's length as a share of the run, 0 for none. Every
    draw is a function of the update's number.
    """
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    averaged, seeds = Average(denoiser, average), Rng(0).fork("fit")
    for update in range(updates):
        rng = seeds.fork(update)
        value = loss(denoiser, draw(size, rng.fork("data")), rng=rng).mean()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update(update + 1)
        yield float(value.detach())
    denoiser.load_state_dict(averaged.module.state_dict())
