"""`reverie compare RUN …`: which sampler and how many steps? Quality, diversity and time, with a recommendation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.core import catalog
from reverie.core.errors import UserError, unknown

if TYPE_CHECKING:
    from reverie.evaluation.choice import Choice

DESCRIPTION = """Sample by several samplers at several numbers of steps and scales of guidance, and set quality (energy
distance to the data, lower is better) against diversity (coverage) and seconds; draws the front and recommends the
cheapest of the ways that chance may have put in their order. What another way surely beats early on is dropped, and
what may be recommended draws four times as many samples."""
SAMPLERS, STEPS = "ddim,deis,dpm-multistep,sde-dpm", "5,10,20,50"
NAMED = 6  # ways of a tie that are told by name


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "compare", help="find the best sampler for a model", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders")
    parser.add_argument("--samplers", default=SAMPLERS, metavar="NAMES", help=f"names a,b,… (default: {SAMPLERS})")
    parser.add_argument("--steps", default=STEPS, metavar="NUMBERS", help=f"numbers a,b,… (default: {STEPS})")
    parser.add_argument(
        "--scales", metavar="NUMBERS",
        help="of classifier-free guidance; 1 is none (default: 1,1.5 for a model with labels)",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=512, metavar="N", help="samples of each way (default: 512)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument(
        "--within", type=float, metavar="SECONDS",
        help="name the best way that draws 1,000 samples in this time (default: half that of the way in the middle)",
    )  # fmt: skip
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
        scales = [float(number) for number in arguments.scales.split(",")] if arguments.scales else None
    except ValueError as error:
        raise UserError(f"--steps and --scales take numbers a,b,…: {error}") from error
    if min(steps) < 1 or arguments.count < 40:
        raise UserError(f"--steps must be at least 1 and --count at least 40, not {min(steps)} and {arguments.count}")
    from reverie.cli.bar import counting
    from reverie.core import files
    from reverie.evaluation.choice import recommend
    from reverie.evaluation.comparison import Sweep, compare, draw

    found = compare(
        arguments.runs,
        Sweep(samplers, steps, scales),
        count=arguments.count,
        seed=arguments.seed,
        within=arguments.within,
        watch=counting,
    )
    _print(found, several=len(arguments.runs) > 1)
    for what, choice in recommend(found, within=arguments.within).items():
        print(f"{what}: {choice.taken.way.command if choice else 'no way is that quick'}")
        if choice and choice.tied:
            print(f"    {_tied(choice)}")
    out = Path(arguments.out) if arguments.out else Path(arguments.runs[0]) / "compare.png"
    files.write_file(out, draw(found))
    print(f"picture: {out}")
    return 0


def _tied(choice: Choice) -> str:
    """The ways that another seed might take, the first of them by name."""
    several = len({c.way.run for c in (choice.taken, *choice.tied)}) > 1
    names = [f"{c.way.run} " * several + c.way.short for c in choice.tied]
    others = f"{len(names)} other{'s' if len(names) > 1 else ''} that another seed might take"
    return f"tied with {others}: {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"


def _print(found: list[Any], *, several: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from reverie.evaluation.choice import front

    best = front(found)
    names = ["run"] * several + ["sampler", "steps", "scale"]
    table = Table("", *names, "evaluations", "samples", "distance", "coverage", "s/1,000", box=None)
    for column in table.columns:
        column.no_wrap = True
    for c in found:
        way, mark = c.way, "*" if c in best else "-" if c.dropped else ""
        distance = f"{c.distance.value:.4g} ± {1.96 * c.distance.error:.2g}"
        names = [mark, *[way.run] * several, way.sampler, str(way.steps), f"{way.scale:g}"]
        table.add_row(*names, str(c.evaluations), str(c.samples), distance, f"{c.coverage:.3f}", f"{c.seconds:.1f}")
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 110)  # whole numbers, in a pipe too
    console.print(table)
    print("* no other is better in distance, coverage and time together")
    if any(c.dropped for c in found):
        print("- dropped early: another way was surely better for no more evaluations")
