"""How many examples an update is shown in a run given in minutes: as many as usual, and fewer where it would be short.

Smaller batches make more updates, each nearly as good as long as there are few of them. On MNIST ten minutes of two
cores without bfloat16 make 1,675 updates of 128 and end at a Fréchet distance of 26.4 (2,000 samples), 5,776 of 32 at
19.8; where ten minutes made 8,041 updates of 128 they were better than ten minutes of 64, so the turn is between.
Reference: McCandlish et al. 2018, arXiv:1812.06162 (the batch size at which noise begins to tell grows over a run).
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from reverie import networks
from reverie.core.rng import Rng
from reverie.data import Dataset, Spec
from reverie.training.assemble import build_denoiser, build_loss
from reverie.training.distributed import World
from reverie.training.recipe import Config, merge, training_options

LEAST = 4000  # updates that a run should have, even if it has to see fewer examples in each
SMALLEST = 16  # smaller ones were not tried
GAIN = 0.8  # of the time of an update, which half the batch has to save to be worth it


def in_pace(config: Config, chosen: Config, spec: Spec, data: Dataset, *, world: World) -> Config:
    """What was chosen, with a smaller batch than the configuration's where the time is short and none was asked for.

    The batch is the largest, halved from the configuration's own, of which the time allows LEAST updates (or `steps`);
    a larger one is taken where half of it saves little. `data` are what the denoiser sees. Sizes are timed from the
    smallest up, until one is too slow; all processes get rank 0's answer.
    """
    training = config["training"]
    asked = {"batch", "accumulate"} & chosen.get("training", {}).keys()
    sizes = halvings(training["batch"], world.size)
    if asked or not training.get("minutes") or len(sizes) == 1:
        return chosen
    networks.keep_memory()
    x0 = data.rows(data.split(float(training.get("holdout", 0.1)))[0][: sizes[-1]]).to(world.device)
    allowed = 60 * training["minutes"] / min(LEAST, training.get("steps") or LEAST)  # seconds an update
    batch, seconds = sizes[0], _seconds(config, spec, x0[: sizes[0]], world)
    if seconds * sizes[-1] / batch <= allowed:
        return chosen
    for larger in sizes[1:]:
        longer = _seconds(config, spec, x0[:larger], world)
        if longer > allowed and seconds < GAIN * longer:
            break
        batch, seconds = larger, longer
    return chosen if batch == sizes[-1] else merge(chosen, {"training": {"batch": batch}})


def halvings(batch: int, processes: int = 1) -> list[int]:
    """The batch and its halves, quarters, … that can be shared equally, down to SMALLEST; the smallest first.

    >>> halvings(128), halvings(100), halvings(8)
    ([16, 32, 64, 128], [25, 50, 100], [8])
    """
    sizes = [batch]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= SMALLEST and sizes[-1] // 2 % processes == 0:
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def _seconds(config: Config, spec: Spec, x0: Tensor, world: World) -> float:
    """How long a forward and backward pass takes: the least of three, for the first prepares memory and kernels."""
    denoiser, loss = build_denoiser(config, spec).to(world.device), build_loss(config)
    networks.initialise(denoiser, 0)
    context, least = networks.precision(training_options(config).precision, world.device), float("inf")
    for _ in range(3):
        began = time.perf_counter()
        with context():
            mean = loss(denoiser, x0[: max(1, len(x0) // world.size)], rng=Rng(0)).mean()
        mean.backward()
        float(mean.detach())
        if world.device.type == "cuda":
            torch.cuda.synchronize(world.device)
        least = min(least, time.perf_counter() - began)
    return world.same(max(1, round(1e6 * least))) / 1e6
