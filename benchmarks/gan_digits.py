"""Pictures by a GAN of four conditional steps beside one of a single step: the same networks, recipe and updates.

    python -m benchmarks.gan_digits digits --updates N --out RUNS [--picture FILE]
No labels are told, so that the classes of the samples show which kinds of pictures a model draws.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from benchmarks.side_by_side import Scene, parser, plain_run, report, trained
from reverie.training.recipe import merge, read_recipe


def main() -> None:
    arguments = parser(__doc__, 1500).parse_args()
    runs, recipe = Path(arguments.out), read_recipe("ddgan")
    kinds = {f"gan-{n}": merge(recipe, {"loss": {"steps": n}, "sampling": {"steps": n}}) for n in (4, 1)}
    make = {name: partial(plain_run, arguments.data, arguments.updates, chosen) for name, chosen in kinds.items()}
    spent = trained(runs, make)
    rows, sheets = {}, []
    with torch.inference_mode():
        scene = Scene(arguments.data)
        for name in kinds:
            found, x = scene.judged(runs / name)
            rows[name] = {"core_seconds": spent[name]} | found
            sheets.append(x)
        report("ddgan", scene, rows, sheets, arguments)


if __name__ == "__main__":
    main()
