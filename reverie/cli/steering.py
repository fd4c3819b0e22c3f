"""`--guide NAME`, its strength and where it acts: the same options for every verb that draws from a model."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from reverie.cli import options
from reverie.core import catalog
from reverie.core.errors import UserError

if TYPE_CHECKING:
    from reverie.training.guides import Steering
    from reverie.training.model import Model

USUAL = {"cfg": 1.5, "auto": 2.0, "classifier": 3.0}  # by measurement; every other guidance is meant at 1


RESTING = {"guide.low": (0.0,), "guide.high": (math.inf,), "guide.rescale": (0.0,)}  # what these are by default


def add(parser: argparse.ArgumentParser) -> None:
    """The options, as a group of their own."""
    group = parser.add_argument_group("guidance")
    group.add_argument(
        "--guide", metavar="NAME",
        help="cfg, classifier:RUN, auto (away from the run's own beginning), auto:RUN, product:LABEL=W,LABEL=W, or a "
        f"prior: {', '.join(catalog.names('guidance', 'Reward'))} (default: none)",
    )  # fmt: skip
    usual = ", ".join(f"{scale:g} of {name}" for name, scale in USUAL.items())
    group.add_argument("--scale", type=float, metavar="S", help=f"its strength (default: {usual}, else 1)")
    group.add_argument("--guide.low", type=float, default=0.0, metavar="R", help="act above this noise level σ/α")
    group.add_argument("--guide.high", type=float, default=math.inf, metavar="R", help="act below this noise level σ/α")
    group.add_argument("--guide.rescale", type=float, default=0.0, metavar="F", help="of cfg and auto: 0 to 1")
    group.add_argument("--guide.negative", metavar="NAME", help="of cfg: the label to steer away from")
    for option, users in _of_priors().items():
        text = "; ".join(f"{key}: {o.annotation}" + f", default {o.default}" * bool(o.default) for key, o in users)
        group.add_argument(f"--guide.{option}", metavar="VALUE", help=text)
    group.add_argument("--guide.reference", metavar="FILE", help="closeness: the example to be near, as a file")


def _of_priors() -> dict[str, list[tuple[str, catalog.Option]]]:
    """Options of the named priors, whose weight is the scale."""
    found = options.union("guidance", catalog.names("guidance", "Reward"))
    return {name: users for name, users in found.items() if name != "weight"}


def steering(arguments: argparse.Namespace, model: Model) -> Steering:
    """What the guidance does to the denoiser and the label."""
    from reverie.training.guides import Steering, Strength, guide

    given = vars(arguments)
    if arguments.guide is None:
        for option in ("scale", *(name for name in given if name.startswith("guide."))):
            if given[option] not in (None, *RESTING.get(option, ())):
                raise UserError(f"--{option} is an option of a guidance; name one with --guide")
        return Steering(lambda inner: inner, arguments.label)
    strength = Strength(
        scale=strength_of(arguments),
        low=given["guide.low"],
        high=given["guide.high"],
        rescale=given["guide.rescale"],
        negative=given["guide.negative"],
    )
    own = {name: given[f"guide.{name}"] for name in (*_of_priors(), "reference")}
    own = {name: value for name, value in own.items() if value is not None}
    run = arguments.model
    return guide(arguments.guide, model, label=arguments.label, strength=strength, options=own, run=run)


def told(arguments: argparse.Namespace) -> dict[str, object]:
    """What a record says of the guidance: nothing without one, else its name, strength and what was given besides."""
    if arguments.guide is None:
        return {}
    given = {name: value for name, value in vars(arguments).items() if name.startswith("guide.")}
    own = {name: v for name, v in given.items() if v not in (None, *RESTING.get(name, ()))}
    return {"guide": arguments.guide, "scale": strength_of(arguments), **own}


def strength_of(arguments: argparse.Namespace) -> float:
    """The strength that was asked for, or what is usual for the guidance."""
    if arguments.scale is not None:
        return float(arguments.scale)
    return USUAL.get(arguments.guide.partition(":")[0], 1.0)
