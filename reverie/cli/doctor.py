"""`reverie doctor RUN`: what is wrong with a run, and the option that mends it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

DESCRIPTION = """Look for the cause when samples are noise, black, tinted, collapsed or exploding: the data's range, NaN
or constant data, swapped channels, a cold or unused average, a prediction or schedule other than the trained one, the
learning rate, too few updates or sampling steps. Exit code 1 if something was found."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "doctor", help="find what is wrong with a run", description=DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("path", metavar="RUN", help="a run folder")
    parser.add_argument("--data", metavar="PATH", help="the data, if they have moved")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the samples (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from reverie.evaluation import diagnose

    found = diagnose(arguments.path, seed=arguments.seed, data=arguments.data)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in found], indent=1))
    else:
        for finding in found:
            print(f"{finding.name}: {finding.figure}\n    {finding.advice}")
    return int(found[0].name != "healthy")
