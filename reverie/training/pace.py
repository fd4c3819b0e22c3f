"""How many examples an update is shown in a run given in minutes: as many as usual, and fewer where it would be short.

The same examples in smaller batches make more updates, each nearly as good as long as there are few of them. On MNIST
30 seconds of two cores without bfloat16 make 86 updates of 128 and end at a Fréchet distance of 367, 172 of 64 at 202,
304 of 32 at 174 and 498 of 16 at 163; after thousands of updates the larger batch is the better one.
Reference: McCandlish et al. 2018, arXiv:1812.06162 (the batch size at which noise begins to tell grows over a run).
"""

from __future__ import annotations

import copy
import time

from reverie import networks
from reverie.data import Dataset, Spec
from reverie.training.assemble import build_denoiser, build_loss
from reverie.training.distributed import World
from reverie.training.memory import fit
from reverie.training.recipe import Config, merge, training_options
from reverie.training.run import Run

LEAST = 1000  # updates that a run should have, even if it has to see fewer examples in each
SMALLEST = 16  # below, an update costs the same however few its examples
GAIN = 0.8  # of the time of an update, which half the batch has to save to be worth it


def in_pace(
    config: Config, chosen: Config, spec: Spec, data: Dataset, *, memory: int | None = None, world: World
) -> Config:
    """What was chosen, with a smaller batch than the configuration's where the time is short and none was asked for.

    The batch is halved until the time allows LEAST updates. Every size is timed by an update or two of a run that is
    then forgotten, within `memory` bytes; all processes get rank 0's answer.
    """
    training = config["training"]
    if not training.get("minutes") or "batch" in chosen.get("training", {}):
        return chosen
    timed = copy.deepcopy(config)
    if memory is not None:
        fit(timed, spec, limit=memory, world=world)
    batch, seconds = training["batch"], _seconds(timed, spec, data, world)
    while 60 * training["minutes"] / seconds < LEAST and batch % 2 == 0:
        half, parts = batch // 2, max(1, timed["training"].get("accumulate", 1) // 2)
        if half < SMALLEST or half % (parts * world.size):
            break
        timed = merge(timed, {"training": {"batch": half, "accumulate": parts}})
        shorter = _seconds(timed, spec, data, world)
        if shorter > GAIN * seconds:
            break
        batch, seconds = half, shorter
    return chosen if batch == training["batch"] else merge(chosen, {"training": {"batch": batch}})


def _seconds(config: Config, spec: Spec, data: Dataset, world: World) -> float:
    """How long an update takes: the second, for the first one prepares memory and kernels."""
    options = training_options(config)
    denoiser = build_denoiser(config, spec)
    networks.initialise(denoiser, 0)
    run = Run(denoiser, build_loss(config), data, options, seed=int(config["seed"]), world=world)
    for _ in range(2):
        began = time.perf_counter()
        float(run.update()[0])
        spent = time.perf_counter() - began
    return world.same(max(1, round(1e6 * spent))) / 1e6
