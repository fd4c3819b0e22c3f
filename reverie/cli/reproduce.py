"""`reverie reproduce PAPER`: a paper's experiments run again, its numbers beside ours."""

from __future__ import annotations

import argparse
from typing import Any

from reverie.core.errors import UserError, unknown

PAPERS = {"sohl-dickstein-2015": ("swiss-roll", "heartbeat", "mnist")}
DESCRIPTION = """Run a paper's experiments again and print its table beside ours. sohl-dickstein-2015: the bounds of the
swiss roll (T = 40, a radial basis network of 16 units) and of the binary heartbeat (T = 2000, three layers of 50
sigmoids), Table 1 of arXiv:1503.03585; and, where --data names it, MNIST (multi-scale convolutions, learned noise),
Table 2. It takes minutes of one core, MNIST some more."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "reproduce",
        help="run a paper's experiments again",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("paper", metavar="PAPER", help=f"one of: {', '.join(PAPERS)}")
    parser.add_argument("--only", metavar="NAME", help="one experiment of the paper (default: all)")
    parser.add_argument("--data", metavar="PATH", help="where MNIST is; without it that experiment is left out")
    parser.add_argument("--updates", metavar="N", type=int, help="updates of each training (default: its own)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.paper not in PAPERS:
        raise unknown("paper", arguments.paper, PAPERS)
    names = PAPERS[arguments.paper]
    if arguments.only is not None and arguments.only not in names:
        raise unknown("experiment", arguments.only, names)
    if arguments.only == "mnist" and arguments.data is None:
        raise UserError("mnist does not come with the package: name its files or folder with --data")
    from reverie.cli.bar import counting
    from reverie.data import open_data
    from reverie.training import reproduction

    options: dict[str, Any] = {"updates": arguments.updates} if arguments.updates else {}
    rows, after = [], []
    for name in names if arguments.only is None else [arguments.only]:
        if name == "mnist" and arguments.data is None:
            after.append("mnist was left out: name its files or folder with --data")
            continue
        with counting(name, 100) as progress:
            say = lambda _, done, whole, progress=progress: progress(100 * done // whole)  # noqa: E731
            if name == "mnist":
                after.append(str(reproduction.mnist(say, open_data(arguments.data), **options)))
            else:
                rows.append(reproduction.PAPERS[arguments.paper][name](say, **options))
    print("\n\n".join(([reproduction.table(rows)] if rows else []) + after))
    return 0
