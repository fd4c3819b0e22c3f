"""Blurring and Gaussian diffusion of the same pictures by the same network, schedule, sampler and number of updates.

    python -m benchmarks.blur digits --updates N --out RUNS [--picture FILE]
Bits per dimension are the bound of 100 steps, the first of which has noise of a fifth of a level of digits, with the
smaller reverse variance (that of a known x_0) for both.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from benchmarks.side_by_side import Scene, parser, plain_run, report, trained
from reverie.likelihoods import Elbo
from reverie.training.model import Model
from reverie.training.recipe import Config, read_recipe
from reverie.training.scoring import decoder_of


def bound(model: Model) -> Elbo:
    """A posterior without spread has the smaller variance."""
    return Elbo(steps=100, terms=32, decoder=decoder_of(model))


def main() -> None:
    arguments = parser(__doc__, 1000).parse_args()
    source, runs, updates = arguments.data, Path(arguments.out), arguments.updates
    recipe = read_recipe("blur")
    kinds: dict[str, Config] = {"gaussian": {**recipe, "process": {"name": "gaussian"}}, "blur": recipe}
    spent = trained(runs, {name: partial(plain_run, source, updates, chosen) for name, chosen in kinds.items()})
    rows, sheets = {}, []
    with torch.inference_mode():
        scene = Scene(source)
        for name in kinds:
            found, x = scene.judged(runs / name)
            rows[name] = {"core_seconds": spent[name]} | found | scene.bits(runs / name, bound)
            sheets.append(x)
        report("blur", scene, rows, sheets, arguments)


if __name__ == "__main__":
    main()
