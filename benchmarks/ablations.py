"""One choice of the recipe or of the network at a time: the distance reached after as many updates or as much time.

    python -m benchmarks.ablations path/to/mnist [--names "batch 128" "width 32" …] [--updates 500] [--quick]
The base is the default recipe with batches of 128. Recipe: every variant makes the same number of updates (with half
the batch, twice as many). Network: every variant gets the processor time that the base took. 2,000 samples at 10
evaluations, judged as in `time_to_quality`; one seed.
Rows with the same name replace those that are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from typing import Any

import torch
from torch import nn

from benchmarks.evaluator import KEPT, Evaluator
from benchmarks.machine import RESULTS, Meter, write
from reverie.data import open_data
from reverie.networks import flops, keep_memory, parameters
from reverie.training.model import Model
from reverie.training.recipe import Config, merge
from reverie.training.run import Run
from reverie.training.session import Session

RESULT = RESULTS / "ablations.json"
BASE = "batch 128"
RECIPE: dict[str, Config] = {
    BASE: {},
    "learning rate 1e-3": {"training": {"learning_rate": 1e-3}},
    "learning rate 4e-3": {"training": {"learning_rate": 4e-3}},
    "batch 64, twice the updates": {"training": {"batch": 64}},
    "average over 0.05 of the run": {"training": {"ema": 0.05}},
    "average over 0.2 of the run": {"training": {"ema": 0.2}},
    "constant rate, fall over the last fifth": {"training": {"decay": 0.2}},
    "β₂ 0.999": {"training": {"beta2": 0.999}},
    "times around r = e^−0.8, ± 1.4": {"times": {"name": "log-normal", "mean": -0.8, "std": 1.4}},
    "v-prediction": {"prediction": {"name": "v"}, "weight": {"name": "snr-plus-one"}},
    "ε-prediction": {"prediction": {"name": "eps"}, "weight": {"name": "simple"}},
    "Muon for matrices": {},
}
NETWORKS: dict[str, Config] = {
    "width 32": {"network": {"width": 32}},
    "width 96": {"network": {"width": 96}},
    "depth 2": {"network": {"depth": 2}},
    "levels (1, 2, 2)": {"network": {"multipliers": [1, 2, 2]}},
    "no attention": {"network": {"attention": []}},
    "whole pixels (patch 1)": {"network": {"patch": 1}},
    "transformer, patch 4": {"network": {"name": "dit"}},
}


class Both(torch.optim.Optimizer):
    """torch's Muon for the matrices inside the network, AdamW for the rest; rates in the ratio that each likes."""

    def __init__(self, run: Run) -> None:
        inner = [p for p in run.parameters if p.dim() == 2 and min(p.shape) >= 32]
        rest = [p for p in run.parameters if all(p is not q for q in inner)]
        muon = torch.optim.Muon(inner, lr=2e-3, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        adam = torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        self.parts = (muon, adam)
        self.param_groups = [*muon.param_groups, *adam.param_groups]

    def step(self) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)


def trained(name: str, chosen: Config, evaluator: Evaluator, path: str, length: dict[str, float]) -> dict[str, Any]:
    """A variant trained to its length and judged."""
    folder = KEPT / "ablation"
    shutil.rmtree(folder, ignore_errors=True)
    config = merge({"training": {"batch": 128, "previews": 0, "checkpoints": 0}}, chosen)
    updates = int(length["updates"]) * 128 // config["training"]["batch"]
    config["training"]["steps"] = updates
    run = Session.begin(path, config, path=folder).run
    if name == "Muon for matrices":
        run.optimizer = Both(run)  # type: ignore[assignment]
    clock, meter = time.process_time(), Meter()
    while run.step < updates:
        run.update()
        spent = time.process_time() - clock
        if "core_seconds" in length and run.step == 20:
            run.planned = updates = max(20, int(20 * length["core_seconds"] / spent))
    x = sampled(run, folder, count=2000)
    network: nn.Module = run.denoiser.network  # type: ignore[assignment]
    return {
        "name": name, "distance": round(evaluator.distance(x), 1), "updates": updates,
        "core_seconds": round(spent, 1), "images_per_core_second": round(updates * run.options.batch / spent),
        "parameters": parameters(network), "flops": flops(network), **meter.read(),  # type: ignore[arg-type]
    }  # fmt: skip


def sampled(run: Run, folder: Any, *, count: int) -> torch.Tensor:
    """Samples of the averaged weights at ten evaluations."""
    described = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    model = Model(run.average.module, run.feed.dataset.spec, described["config"])
    return model.draw(count, label="each", steps=10, seed=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="digits", help="labelled images")
    parser.add_argument("--names", nargs="+", default=[*RECIPE, *NETWORKS], choices=[*RECIPE, *NETWORKS])
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--core-seconds", type=float, default=70.0, help="time that a network is given")
    parser.add_argument("--quick", action="store_true", help="two variants for seconds, to see that it works")
    chosen = parser.parse_args()
    names, updates = ([BASE, "width 32"], 3) if chosen.quick else (chosen.names, chosen.updates)
    keep_memory()
    evaluator = Evaluator(open_data(chosen.data), epochs=1 if chosen.quick else 3)
    kept = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.is_file() else []
    rows = {row["name"]: row for row in kept}
    for name in names:
        timed = {"core_seconds": 1.0 if chosen.quick else chosen.core_seconds} if name in NETWORKS else {}
        length = {"updates": 10**6 if timed else updates, **timed}
        rows[name] = trained(name, {**RECIPE, **NETWORKS}[name], evaluator, chosen.data, length)
        print(rows[name], flush=True)
        if not chosen.quick:
            write("ablations", {"data": evaluator.dataset.spec.name, "rows": list(rows.values())})


if __name__ == "__main__":
    main()
