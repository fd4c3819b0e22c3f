"""Reading: which share of its time does training on a folder of PNGs wait for data?

    python -m benchmarks.reading [--files 10000] [--size 64] [--seconds 60] [--memory MIB]
The network, the batch and the rates are what `reverie train FOLDER` chooses. One epoch is trained without being timed,
then `--seconds` of updates are, and the share of them that passed between asking for a batch and having it. `--memory`
makes memory so small that the pictures are decoded anew each time they are shown; without it they are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import RESULTS, Meter, write
from reverie import networks
from reverie.data import open_data
from reverie.data.encode import encode_picture
from reverie.training.assemble import build_denoiser, build_loss
from reverie.training.defaults import choose
from reverie.training.recipe import training_options
from reverie.training.run import Run


def make(folder: Path, count: int, size: int) -> None:
    """Pictures of smooth colours with grain, which PNG packs about as well as photographs."""
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.integers(0, 256, (5, 5, 3)).astype(float)
        smooth = coarse.repeat(size // 4, 0).repeat(size // 4, 1)[:size, :size]
        pixels = (smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)
        (folder / f"{i:05d}.png").write_bytes(encode_picture(pixels, "png"))


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Open the folder, train for an epoch, then time."""
    begun = time.perf_counter()
    data = open_data(folder)
    opened = time.perf_counter() - begun
    config = choose(data.spec, len(data.split()[0]), {})
    networks.keep_memory()
    run = Run(build_denoiser(config, data.spec), build_loss(config), data, training_options(config))
    first, epoch = time.perf_counter(), -(-len(run.train_index) // run.options.batch)
    waits = waiting(run)
    while run.step < epoch:
        run.update()
    in_first = {"seconds": round(time.perf_counter() - first, 2), "waiting": round(sum(waits), 3)}
    waits.clear()
    meter, steps, begun = Meter(), run.step, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        run.update()
    return {
        "kept_in_memory": type(data).__name__ == "Stored",
        "opening_seconds": round(opened, 2),
        "batch": run.options.batch,
        "network": config["network"],
        "first_epoch": {"updates": epoch, **in_first},
        "after_it": {
            "updates": run.step - steps,
            "seconds": round(spent, 2),
            "waiting": round(sum(waits), 3),
            "share_waiting": round(sum(waits) / spent, 5),
            "longest_wait": round(max(waits), 4),
        },
        "machine": meter.read(),
    }


def waiting(run: Run) -> list[float]:
    """A list that grows by the seconds that each batch of the run is waited for."""
    waits: list[float] = []
    ask: Callable[..., Any] = run.feed.at

    def timed(*given: Any) -> Any:
        begun = time.perf_counter()
        batch = ask(*given)
        waits.append(time.perf_counter() - begun)
        return batch

    run.feed.at = timed  # type: ignore[method-assign]
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--memory", type=float, help="MiB that data may take (default: what there is)")
    chosen = parser.parse_args()
    if chosen.memory:
        from reverie.data import files

        files.budget = lambda: int(chosen.memory * 2**20)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), chosen.files, chosen.size)
        found = measure(Path(folder), chosen.seconds)
    mode = "kept in memory" if found["kept_in_memory"] else "decoded anew"
    print(mode, found, flush=True)
    before = RESULTS / "reading.json"
    result = json.loads(before.read_text()) if before.exists() else {}
    result.pop("environment", None)
    write("reading", {**result, mode: {"files": chosen.files, **found}})


if __name__ == "__main__":
    main()
