"""`reverie completion SHELL`: a script that completes verbs and options in a shell."""

from __future__ import annotations

import argparse
from typing import Any

from reverie.core.errors import UserError, unknown

SHELLS = ("bash", "zsh", "tcsh")


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "completion",
        help="print a completion script for your shell",
        description='Print a completion script: eval "$(reverie completion bash)" in ~/.bashrc.',
        allow_abbrev=False,
    )
    parser.add_argument("shell", metavar="SHELL", help=f"one of {', '.join(SHELLS)}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from reverie.cli.main import parser

    if arguments.shell not in SHELLS:
        raise unknown("shell", arguments.shell, SHELLS)
    try:
        import shtab
    except ImportError as error:
        raise UserError("completion needs the package shtab: pip install 'reverie[completion]'") from error
    print(shtab.complete(parser(), arguments.shell))
    return 0
