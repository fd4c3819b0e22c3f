"""The options of `reverie sample` that steer: `--guide cfg --scale 1.5`, `--guide classifier:RUN --label 3`, …"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverie.training.guides import Steering
    from reverie.training.model import Model

OWN = ("guide", "scale", "guide_low", "guide_high", "rescale", "negative")


def add(parser: argparse.ArgumentParser) -> None:
    """The group of options."""
    group = parser.add_argument_group("guidance")
    group.add_argument(
        "--guide", metavar="NAME",
        help="cfg, classifier:RUN (a classifier's folder), auto:RUN (a worse model's), or a prior: smoothness, "
        "total-variation, mean-colour, region-average",
    )  # fmt: skip
    group.add_argument("--scale", type=float, metavar="S", help="its strength; 0 is none (default 1)")
    group.add_argument("--guide-low", type=float, default=0.0, metavar="R", help="least noise level σ/α (default 0)")
    group.add_argument("--guide-high", type=float, default=math.inf, metavar="R", help="largest one (default: any)")
    group.add_argument(
        "--rescale", type=float, default=0.0, metavar="P", help="cfg, auto: share drawn back (default 0)"
    )
    group.add_argument("--negative", metavar="NAME", help="cfg: a class to keep away from (default: no class)")


def chosen(arguments: argparse.Namespace, model: Model) -> Steering:
    """The steering that was asked for; without --guide, none. Raises UserError."""
    from reverie.core.errors import UserError
    from reverie.training.guides import Steering, Strength, guide

    if arguments.guide is None:
        if arguments.scale is not None or arguments.negative is not None or arguments.rescale:
            raise UserError("--scale, --rescale and --negative belong to a guidance; name one with --guide")
        return Steering(None, arguments.label)
    strength = Strength(
        scale=1.0 if arguments.scale is None else arguments.scale,
        low=arguments.guide_low,
        high=arguments.guide_high,
        rescale=arguments.rescale,
        negative=arguments.negative,
    )
    return guide(arguments.guide, model, label=arguments.label, strength=strength)
