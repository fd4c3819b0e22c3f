"""`reverie explain PAGE`: a page of the theory, run on this machine: its numbers, and its picture as a PNG file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from reverie.core.errors import unknown

# page → the function of reverie.explain that makes it
PAGES = {
    "forward": "forward",
    "reverse-step": "reverse_step",
    "score-matching": "score_matching",
    "langevin": "annealed_langevin",
    "paths": "paths",
    "fokker-planck": "fokker_planck",
    "jarzynski": "jarzynski",
    "chains": "chains",
    "blur": "blurring",
    "vae": "autoencoder",
}
DESCRIPTION = "Show a page of the theory: its numbers are computed now, its picture is written beside you."


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "explain", help="pages of the theory that run", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("page", metavar="PAGE", help=f"one of {', '.join(PAGES)}")
    parser.add_argument("--out", metavar="FILE", help="the picture (default: PAGE.png)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.page not in PAGES:
        raise unknown("page", arguments.page, PAGES)
    from reverie import explain
    from reverie.core import files

    page = getattr(explain, PAGES[arguments.page])(seed=arguments.seed)
    path = Path(arguments.out or f"{arguments.page}.png")
    files.write_file(path, page.png())
    print(f"{page}\n\n{path}")
    return 0
