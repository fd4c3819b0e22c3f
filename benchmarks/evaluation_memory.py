"""Peak memory of `evaluate` with 50,000 samples beside 50,000 training images of 3×32×32, on cheap images.

    python -m benchmarks.evaluation_memory --out RUNS [--count N]
The images are a low-rank Gaussian with grain and the model is a perceptron of few updates and two sampling steps: the
memory is that of a good model's report, but for what its network takes. Nothing else of the report means anything.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.machine import Meter, write
from reverie.evaluation import evaluate
from reverie.training.session import Session

HELD = 1 / 6  # share held out, as CIFAR-10 has 10,000 of 60,000


def images(path: Path, count: int) -> Path:
    """(count, 32, 32, 3) bytes, drawn and written a thousand at a time."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(24, 32 * 32 * 3)) * 10
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 32, 32, 3))
    for start in range(0, count, 1000):
        part = min(1000, count - start)
        x = 127 + random.normal(size=(part, 24)) @ mix + random.normal(size=(part, mix.shape[1])) * 6
        rows[start : start + part] = x.clip(0, 255).reshape(part, 32, 32, 3).astype(np.uint8)
    rows.flush()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="RUNS")
    parser.add_argument("--count", type=int, default=50_000)
    arguments = parser.parse_args()
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    source = images(folder / "images.npy", round(arguments.count / (1 - HELD)))
    options = {
        "network": {"name": "mlp", "width": 16, "depth": 1},
        "sampling": {"steps": 2},
        "training": {"steps": 5, "batch": 64, "previews": 0, "checkpoints": 0, "holdout": HELD},
    }
    run = folder / "run"
    if not run.exists():
        Session.begin(str(source), options, path=run).go()
    meter = Meter()
    found = evaluate(run, count=arguments.count, features="pca").numbers
    result = {name: found[name] for name in ("samples", "real", "features", "peak_bytes")}
    print(result)
    write("evaluation_memory", {"shape": [3, 32, 32], **result, **meter.read()})


if __name__ == "__main__":
    main()
