"""`reverie evaluate RUN`: is the model good, diverse, copying, finished? A table, a page and JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DESCRIPTION = """Draw samples and hold them against held-out data: distances, quality and diversity, copies, labels and
losses, each with its error and its floor (real data in the samples' place), and a verdict in plain words. Writes a
self-contained page; the same arguments give the same numbers, and a second time they come from the file."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser("evaluate", help="judge a model", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("path", metavar="RUN", help="a run folder")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="samples to draw (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument(
        "--features", default="auto", metavar="NAME",
        help="auto, values, pca, classifier, random or pairs (default: auto)",
    )  # fmt: skip
    parser.add_argument("--data", metavar="PATH", help="the data, if they have moved")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from reverie.cli.bar import counting
    from reverie.evaluation import evaluate, page
    from reverie.evaluation.archive import place, store, stored
    from reverie.training.folder import RunFolder

    path = Path(arguments.path)
    asked = {name: getattr(arguments, name) for name in ("count", "seed", "features", "data")}
    folder = place(path, asked)
    numbers = stored(folder)
    if numbers is None:
        found = evaluate(path, **asked, watch=counting)
        store(folder, found.numbers, page(found, found.spec, RunFolder(path).metrics()))
        numbers = found.numbers
    if arguments.json:
        print(json.dumps(numbers, indent=1))
        return 0
    _print(numbers)
    print(f"report: {folder / 'report.html'}")
    return 0


def _print(numbers: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table("", "samples", "real data", "Gaussian fit", box=None)
    for name, m in numbers["measures"].items():
        table.add_row(
            name,
            f"{m['value']:.4g} ± {1.96 * m['error']:.2g}",
            f"{m['floor']:.4g} ± {1.96 * m['floor_error']:.2g}",
            f"{m['baseline']:.4g}",
        )
    console.print(table)
    if numbers["columns"]:
        console.print(_columns(numbers["columns"]))
    if numbers["copies"]:
        own, held = (100 * numbers["copies"][side] for side in ("samples", "held_out"))
        console.print(f"near copies: {own:.1f} % of samples, {held:.1f} % of held-out data")
    if numbers["labels"]:
        right = {name: 100 * share["samples"] for name, share in numbers["labels"].items()}
        real = [100 * share["real"] for share in numbers["labels"].values()]
        least, mean = min(right, key=lambda name: right[name]), sum(right.values()) / len(right)
        console.print(
            f"labels as asked for: {mean:.1f} %; least in '{least}', {right[least]:.1f} % (of real data "
            f"{sum(real) / len(real):.1f} % are given their own)"
        )
    if numbers["bits_per_dim"]:
        bits = numbers["bits_per_dim"]
        console.print(
            f"bits per dimension, held out: {bits['value']:.3f} ± {1.96 * bits['error']:.2g} ({bits['method']})"
        )
    console.print(
        f"{numbers['samples']:,} samples beside {numbers['real']:,} held-out examples, by features "
        f"'{numbers['features']}'; {1000 * numbers['seconds_per_sample']:.3g} ms a sample"
    )
    for finding in numbers["findings"]:
        console.print(f"[bold]{finding['name']}[/]: {finding['figure']}. To try: {finding['advice']}")


def _columns(columns: dict[str, Any]) -> str:
    """The column that is furthest off, in a line."""
    worst = max(columns["table"], key=lambda c: c["distance"])
    return (
        f"columns: '{worst['name']}' is furthest off, by {worst['distance']:.3f} (chance reaches "
        f"{columns['chance']:.3f}); correlations by {columns['correlation']:.3f} at most "
        f"(of real data {columns['correlation_floor']:.3f})"
    )
