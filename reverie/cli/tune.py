"""`reverie tune MODEL --steps 10`: the solver and the time grid that suit this model best."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from reverie.cli import options
from reverie.core.errors import UserError

DESCRIPTION = """Choose the solver and the time grid for a number of network evaluations, by the distance to the model's
own exact trajectories; or, with --ema, the length of the average of the weights, from the snapshots of a run trained
with --training.snapshots. The choice is kept in the model's folder, and 'reverie sample' uses it from then on."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "tune", help="fit solver and time grid to a model", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL", help="a run folder or a model folder")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="network evaluations (default: 10)")
    parser.add_argument(
        "--starts", type=int, metavar="N", help="trajectories to measure on (default: 16 large images to 1024 points)"
    )
    parser.add_argument("--effort", type=int, default=6, metavar="N", help="rounds of moving the times (default: 6)")
    parser.add_argument(
        "--ema", metavar="WIDTH", help="average the weights anew over this share of the run, or 'auto' by held-out loss"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--dry-run", action="store_true", help="print the choice without keeping it")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda, mps, … (default: the best there is)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.ema:
        return _average(arguments)
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


def _average(arguments: argparse.Namespace) -> int:
    """Choose the length of the average, and keep it."""
    from reverie.training.snapshots import reachable
    from reverie.training.tuned import average_losses, keep_average

    run = Path(arguments.model)
    try:
        widths = reachable(run) if arguments.ema == "auto" else [float(arguments.ema)]
    except ValueError as error:
        raise UserError(f"--ema takes a width such as 0.1, or 'auto', not '{arguments.ema}'") from error
    losses = average_losses(run, widths)
    for width, loss in losses.items():
        print(f"average over {width:g} of the run: held-out loss {loss:.5g}")
    best = min(losses, key=lambda width: losses[width])
    if not arguments.dry_run:
        print(f"kept {best:g}: {keep_average(run, best, losses[best]) / 'model.safetensors'}")
    return 0
