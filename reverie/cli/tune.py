"""`reverie tune MODEL --steps 10`: the solver and the time grid that suit this model best."""

from __future__ import annotations

import argparse
from typing import Any

from reverie.cli import options

DESCRIPTION = """Choose the solver and the time grid for a number of network evaluations, by the distance to the model's
own exact trajectories. The choice is kept in the model's folder, and 'reverie sample' uses it from then on."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "tune", help="fit solver and time grid to a model", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL", help="a run folder or a model folder")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="network evaluations (default: 10)")
    parser.add_argument(
        "--starts", type=int, metavar="N", help="trajectories to measure on (default: 16 images or more)"
    )
    parser.add_argument("--effort", type=int, default=6, metavar="N", help="rounds of moving the times (default: 6)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--dry-run", action="store_true", help="print the choice without keeping it")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from reverie.training.model import load
    from reverie.training.tuned import keep_choice, tune_model

    model = load(arguments.model, device=options.device(arguments.device))
    best, plain = tune_model(
        model,
        arguments.steps,
        starts=arguments.starts,
        effort=arguments.effort,
        seed=arguments.seed,
        progress=lambda line: print(line, flush=True),
    )
    print(f"unfitted  {plain.error:.4g}  {plain.label}")
    print(f"chosen    {best.error:.4g}  {best.label}: {', '.join(f'{t:.4g}' for t in best.times)}")
    print("(root mean square distance to the exact end points, on trajectories that were not fitted to)")
    if not arguments.dry_run:
        print(keep_choice(arguments.model, best) / "config.json")
    return 0
