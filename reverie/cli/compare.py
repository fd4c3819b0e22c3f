"""`reverie compare RUN …`: which sampler and how many steps? Quality, diversity and time, with a recommendation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from reverie.core import catalog
from reverie.core.errors import UserError, unknown

DESCRIPTION = """Sample by several samplers at several numbers of steps and set quality (energy distance to the data,
lower is better) against diversity (coverage) and seconds; draws the front and recommends."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "compare", help="find the best sampler for a model", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders")
    parser.add_argument(
        "--samplers", default="ddim,deis,dpm-multistep,sde-dpm", metavar="NAMES",
        help="names, comma-separated (default: ddim,deis,dpm-multistep,sde-dpm)",
    )  # fmt: skip
    parser.add_argument("--steps", default="5,10,20,50", metavar="NUMBERS", help="numbers (default: 5,10,20,50)")
    parser.add_argument(
        "--scales", default="1", metavar="NUMBERS", help="of classifier-free guidance; 1 is none (default: 1)"
    )
    parser.add_argument("--count", type=int, default=500, metavar="N", help="samples of each (default: 500)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument(
        "--within", type=float, metavar="SECONDS", help="also the best within this time per 1,000 samples"
    )
    parser.add_argument("--out", metavar="FILE", help="picture to write (default: RUN/compare.png)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    samplers = [name.strip() for name in arguments.samplers.split(",")]
    allowed = catalog.names("samplers", "Sampler")
    for name in samplers:
        if name not in allowed:
            raise unknown("sampler", name, allowed)
    try:
        steps = [int(number) for number in arguments.steps.split(",")]
        scales = [float(number) for number in arguments.scales.split(",")]
    except ValueError as error:
        raise UserError(f"--steps and --scales take numbers a,b,…: {error}") from error
    if min(steps) < 1 or arguments.count < 40:
        raise UserError(f"--steps must be at least 1 and --count at least 40, not {min(steps)} and {arguments.count}")
    from rich.console import Console
    from rich.table import Table

    from reverie.core import files
    from reverie.evaluation import compare
    from reverie.evaluation.comparison import draw, front, recommend

    found = compare(
        arguments.runs,
        samplers=samplers,
        steps=steps,
        scales=scales,
        count=arguments.count,
        seed=arguments.seed,
        say=lambda line: print(line, file=sys.stderr),
    )
    best = front(found)
    several = len(arguments.runs) > 1
    titles = ["", *["run"] * several, "sampler", "steps", "scale", "evaluations", "distance", "coverage", "s/1,000"]
    table = Table(*titles, box=None)
    for column in table.columns:
        column.no_wrap = True
    for c in found:
        distance = f"{c.distance.value:.4g} ± {1.96 * c.distance.error:.2g}"
        table.add_row(
            "*" if c in best else "", *[c.run] * several, c.sampler, str(c.steps), f"{c.scale:g}", str(c.evaluations),
            distance, f"{c.coverage:.3f}", f"{c.seconds:.1f}",
        )  # fmt: skip
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 110)  # whole numbers, in a pipe too
    console.print(table)
    console.print("* no other is better in distance, coverage and time together")
    for what, c in recommend(found, within=arguments.within).items():
        console.print(f"[bold]{what}[/]: {c.command}")
    out = Path(arguments.out) if arguments.out else Path(arguments.runs[0]) / "compare.png"
    files.write_file(out, draw(found))
    console.print(str(out))
    return 0
