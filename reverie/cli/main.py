"""`reverie VERB …`: one parser per verb, errors in one line, documented exit codes.

Exit codes: 0 done, 2 usage, 65 bad data or model file, 70 a fault of reverie, 74 input/output, 75 stopped because a
number was not finite, 130 and 143 stopped by SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from reverie.core.errors import INPUT_OUTPUT, UserError, unknown

VERBS = (
    "train", "sample", "restore", "likelihood", "evaluate", "compare", "doctor", "tune", "explain", "reproduce",
    "check", "info", "list", "completion",
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that says what to type."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser(verbs: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The command line with these verbs; making one takes a while, for its options are read from the catalogue."""
    top = Parser(
        prog="reverie",
        description="Diffusion models on your own data: train, sample, guide, score and judge.",
        epilog="First steps: 'reverie train digits', then 'reverie sample runs/digits'.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    top.add_argument("--traceback", action="store_true", help="show where an error came from")
    places = top.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    for name in verbs:
        importlib.import_module(f"reverie.cli.{name}").add(places)
    return top


def main(argv: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    named = [word for word in argv if not word.startswith("-")][:1]
    if named and named[0] not in VERBS:
        print(f"reverie: {unknown('verb', named[0], VERBS)}", file=sys.stderr)
        return 2
    top = parser(named or VERBS)
    arguments, rest = top.parse_known_args(argv)
    if arguments.version:
        from reverie import __version__

        print(f"reverie {__version__}")
        return 0
    if rest:
        _unrecognised(top, arguments.verb, rest[0])
    if not arguments.verb:
        top.print_help()
        return 0
    try:
        return int(arguments.run(arguments))
    except UserError as error:
        return _told(arguments, str(error), error.code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        return _told(arguments, f"{error.strerror or error}{where}", INPUT_OUTPUT)
    except FloatingPointError as error:
        return _told(arguments, str(error), 75)
    except KeyboardInterrupt:
        return 130


def _told(arguments: argparse.Namespace, message: str, code: int) -> int:
    if arguments.traceback:
        raise
    print(f"reverie {arguments.verb}: {message}", file=sys.stderr)
    return code


def _unrecognised(top: argparse.ArgumentParser, verb: str | None, given: str) -> NoReturn:
    chosen = top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction) and verb in action.choices:
            chosen = action.choices[verb]
    flag = given.split("=")[0]
    known = [option for action in chosen._actions for option in action.option_strings]
    near = difflib.get_close_matches(flag, known, n=1) if flag.startswith("-") else []
    hint = f"; did you mean {near[0]}?" if near else ""
    chosen.error(f"unrecognised {'option' if flag.startswith('-') else 'argument'} '{flag}'{hint}")


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main(sys.argv[1:]))
