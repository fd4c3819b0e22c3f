"""`reverie list [ROOM]`: every name that can be typed, with what it is and its options."""

from __future__ import annotations

import argparse
from typing import Any

from reverie.core import catalog
from reverie.core.errors import unknown
from reverie.training.recipe import RECIPES, SECTIONS


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "list",
        help="list the names of samplers, schedules, …",
        description="List what can be named on the command line and in recipes: all sections, or one with its options.",
        allow_abbrev=False,
    )
    parser.add_argument("section", metavar="SECTION", nargs="?", help=f"one of {', '.join(SECTIONS)}, recipe")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    section = arguments.section
    if section == "recipe":
        _recipes()
    elif section is None:
        for name, (room, base) in SECTIONS.items():
            print(f"{name:<11} {', '.join(catalog.names(room, base))}")
    elif section in SECTIONS:
        room, base = SECTIONS[section]
        for name in catalog.names(room, base):
            print(f"{name}\n    {catalog.summary(room, name)}")
            for option in catalog.options(room, name):
                default = f" (default {option.default})" if option.default else ""
                print(f"    --{section}.{option.name}: {option.annotation}{default}")
    else:
        raise unknown("section", section, [*SECTIONS, "recipe"])
    return 0


def _recipes() -> None:
    for folder in RECIPES:
        for path in sorted(folder.glob("*.toml")):
            first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            print(f"{path.stem:<14} {first}")
