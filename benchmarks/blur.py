"""Blurring and Gaussian diffusion of the same pictures by the same network, schedule, sampler and number of updates.

    python -m benchmarks.blur digits --updates N --out RUNS [--picture FILE]
Bits per dimension are the bound of 1,000 steps with the smaller reverse variance (that of a known x_0) for both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import write
from benchmarks.vae import frechet, of_model, picture, scene
from reverie.data import open_data
from reverie.training.recipe import merge, read_recipe
from reverie.training.session import Session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--out", required=True, metavar="RUNS")
    parser.add_argument("--picture", metavar="FILE")
    arguments = parser.parse_args()
    training = {"training": {"steps": arguments.updates, "previews": 1, "checkpoints": 1}}
    blur = merge(read_recipe("blur"), training)
    kinds = {"gaussian": {**blur, "process": {"name": "gaussian"}}, "blur": blur}
    for name, chosen in kinds.items():
        if not (Path(arguments.out) / name).exists():
            Session.begin(arguments.data, chosen, path=Path(arguments.out) / name).go()
    dataset = open_data(arguments.data)
    with torch.inference_mode():
        held, real, space, floor = scene(dataset)
        rows: dict[str, Any] = {"floor": floor}
        sheets = [real]
        for name in kinds:
            v = 0.0 if name == "gaussian" else None  # what a posterior without spread has under blur
            numbers, x = of_model(Path(arguments.out) / name, dataset, held, method="elbo", v=v)
            rows[name] = numbers | frechet(space, x, real)
            sheets.append(x)
            print(name, rows[name], flush=True)
    print("floor", floor)
    if arguments.picture:
        picture(arguments.picture, sheets, dataset)
    write(f"blur_{dataset.spec.name}", {"updates": arguments.updates, "models": rows})


if __name__ == "__main__":
    main()
