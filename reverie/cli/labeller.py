"""`reverie train DATA --classifier`: a classifier of noisy data, for `reverie sample --guide classifier:RUN`."""

from __future__ import annotations

import argparse
from pathlib import Path

from reverie.core.errors import UserError

STEPS = 1500


def run(arguments: argparse.Namespace) -> int:
    """Train it as `arguments` of the verb train say: data, --steps, --seed, --out, and how the data are read."""
    from reverie.cli import options
    from reverie.cli.bar import Terminal
    from reverie.core import catalog
    from reverie.data import open_data
    from reverie.training.classifier import train_classifier

    if arguments.resume or not arguments.data:
        raise UserError("--classifier needs DATA, and begins anew: leave out --resume")
    if arguments.minutes is not None:
        raise UserError("a classifier's length is given in updates: --steps N")
    dataset = open_data(arguments.data, **options.reading(arguments))
    steps = STEPS if arguments.steps is None else catalog.checked(arguments.steps, "int", "--steps")
    seed = 0 if arguments.seed is None else catalog.checked(arguments.seed, "int", "--seed")
    folder = Path(arguments.out) if arguments.out else Path("runs") / f"{dataset.spec.name or 'data'}-classifier"
    with Terminal(quiet=arguments.quiet) as view:
        train_classifier(dataset, folder, steps=steps, seed=seed, view=view)
        label = dataset.spec.classes[0]
        view.say(f"try next: reverie sample RUN --guide classifier:{folder} --label {label} --scale 2")
    return 0
