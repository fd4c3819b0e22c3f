"""How cost grows: with the size of an image, the batch, the steps of a sampler, the dimension, and the processes.

    python -m benchmarks.scaling [--quick] [--threads 1] [--only picture]
Each table is one quantity, the rest held at the default network for MNIST (0.8 M weights), random data, batch 128.
`exponent` is the slope of log cost against log size over the last doubling: 1 where cost is proportional.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import Meter, measured, write
from reverie.core.rng import Rng
from reverie.denoisers import NetworkDenoiser
from reverie.denoisers.prediction import F
from reverie.losses import EdmWeight, LogNormal, Regression
from reverie.networks import Mlp, Network, Unet, initialise, keep_memory, precision, suggest
from reverie.pictures import curves, render
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Deis, Karras, sample
from reverie.training.distributed import join, leave

BATCH = 128
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scaling.png"
Row = dict[str, Any]


def default(shape: tuple[int, ...]) -> NetworkDenoiser:
    """What `reverie train` would take for data of this shape."""
    chosen = suggest(shape, 60_000, 10.0)
    kind: type[Network] = Mlp if chosen.pop("name") == "mlp" else Unet
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items()}
    return NetworkDenoiser(Gaussian(VpLinear()), initialise(kind(shape=shape, **options), 0), F(data_std=1.0))


def training(shape: tuple[int, ...], batch: int) -> Callable[[], None]:
    """One update."""
    denoiser, loss = default(shape), Regression(weight=EdmWeight(), times=LogNormal())
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-4, fused=True)
    x0 = Rng(0).normal(torch.empty(batch, *shape))

    def update() -> None:
        with precision("auto")():
            mean = loss(denoiser, x0, rng=Rng(1)).mean()
        mean.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return update


def sampling(steps: int) -> Callable[[], object]:
    """64 samples of 28×28."""
    denoiser = default((1, 28, 28)).eval()
    return lambda: sample(denoiser, (64, 1, 28, 28), sampler=Deis(), grid=Karras(), steps=steps, rng=Rng(0))


def typical(work: Callable[[], object], seconds: float) -> float:
    """The median time of a call, the first left out; with one thread the processor's, which others do not change."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[float] = []
    work()
    while len(times) < 2 or sum(times) < seconds:
        began = clock()
        work()
        times.append(clock() - began)
    return statistics.median(times)


def table(name: str, sizes: Sequence[int], make: Callable[[int], Callable[[], object]], seconds: float) -> Row:
    """Seconds of a call by size, and how they grow at the end."""
    cost = {size: typical(make(size), seconds) for size in sizes}
    (small, first), (large, last) = list(cost.items())[-2:]
    exponent = math.log(last / first) / math.log(large / small)
    row = {"quantity": name, "milliseconds": {s: round(1000 * c, 2) for s, c in cost.items()}}
    print(row | {"exponent": round(exponent, 2)}, flush=True)
    return row | {"exponent": round(exponent, 2)}


def share(seconds: float) -> None:
    """A process of several: the same update on its share of the batch, gradients averaged. Prints images a second."""
    torch.set_num_threads(1)
    keep_memory()
    world = join(torch.device("cpu"))
    denoiser, loss = default((1, 28, 28)), Regression(weight=EdmWeight(), times=LogNormal())
    wrapped = world.wrap(denoiser.network)
    denoiser.network = wrapped
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-4, fused=True)
    x0 = Rng(world.rank).normal(torch.empty(BATCH // world.size, 1, 28, 28))

    def update() -> None:
        with precision("auto")():
            mean = loss(denoiser, x0, rng=Rng(1)).mean()
        mean.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    for _ in range(3):
        update()
    world.barrier()
    began, count = time.perf_counter(), max(3, int(40 * seconds))
    for _ in range(count):
        update()
    world.barrier()
    if world.is_main:
        print(json.dumps(BATCH * count / (time.perf_counter() - began)))
    leave(world, 0)


def processes(seconds: float) -> list[Row]:
    """Images a second of one process with one thread, and of two."""
    rows = []
    for size in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
        command += ["-m", "benchmarks.scaling", "--share", str(seconds)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        rows.append({"processes": size, "images_per_second": round(json.loads(said.splitlines()[-1]), 1)})
        print(rows[-1], flush=True)
    return rows


def draw(tables: Sequence[Row]) -> None:
    """Cost against size, both as multiples of the smallest, into the documentation."""
    series = {}
    for part in tables:
        sizes, costs = [float(size) for size in part["milliseconds"]], list(part["milliseconds"].values())
        name = f"{part['quantity']} (from {sizes[0]:g})"
        series[name] = [size / sizes[0] for size in sizes], [cost / costs[0] for cost in costs]
    figure = curves(series, x="times the smallest size", y="times its cost")
    figure.axes[0].set_xscale("log")
    PICTURE.write_bytes(render(figure))
    print(f"written: docs/images/{PICTURE.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, to see that it works")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=["tables", "processes", "picture"], help="a part alone")
    parser.add_argument("--share", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.share:
        share(chosen.share)
        return
    if chosen.only == "picture":
        draw(measured("scaling")[0]["tables"])
        return
    torch.set_num_threads(chosen.threads)
    keep_memory()
    meter, seconds, most = Meter(), 0.0 if chosen.quick else 1.0, 2 if chosen.quick else 99
    result: Row = {"threads": chosen.threads}
    if chosen.only != "processes":
        result["tables"] = [
            table("side of an image", (16, 32, 64, 128)[:most], lambda n: training((1, n, n), 16), seconds),
            table("batch", (8, 32, 128, 512)[:most], lambda n: training((1, 28, 28), n), seconds),
            table("dimension of points", (2, 32, 512, 2048)[:most], lambda n: training((n,), BATCH), seconds),
            table("steps of the sampler", (5, 10, 20, 40)[:most], sampling, seconds),
        ]
    if chosen.only != "tables":
        result["processes"] = processes(max(seconds, 0.1))
    if not chosen.quick:
        write("scaling", result | {"machine": meter.read()})
        if "tables" in result:
            draw(result["tables"])


if __name__ == "__main__":
    main()
