"""What is seen of an example: the same options for restoring and for a classifier that reads observations."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from reverie.core.errors import UserError

if TYPE_CHECKING:
    from reverie.data import Spec
    from reverie.guidance import Operator

TASKS = ("inpaint", "super-resolution", "deblur", "motion-deblur", "colourise", "denoise", "sensing")
USUAL: dict[str, Any] = {"part": "", "share": 0.5, "factor": 2, "blur": 1.0, "degrees": 0.0, "noise": 0.0}
OWN = {  # which options say what of a task
    "inpaint": ("mask", "part", "share"), "super-resolution": ("factor",), "deblur": ("blur",),
    "motion-deblur": ("blur", "degrees"), "sensing": ("share",),
}  # fmt: skip


def add(group: Any) -> None:
    """The options that say what of an example is seen, but for the task itself."""
    group.add_argument("--mask", metavar="FILE", help="inpaint: a picture, white (or not 0) where pixels are missing")
    group.add_argument(
        "--part", metavar="PART", help="inpaint, instead of a mask: left, right, top, bottom, random or a box "
        "top,left,height,width that is missing",
    )  # fmt: skip
    group.add_argument("--share", type=float, metavar="S", help="random, sensing: share seen (default 0.5)")
    group.add_argument("--factor", type=int, metavar="K", help="super-resolution: side of a block (default 2)")
    group.add_argument("--blur", type=float, metavar="P", help="deblur: width in pixels (default 1)")
    group.add_argument("--degrees", type=float, metavar="D", help="motion-deblur: angle (default 0)")
    group.add_argument(
        "--noise", type=float, metavar="S",
        help="standard deviation of the observation's noise in model units, where bytes span 2 (default 0)",
    )  # fmt: skip


def settle(arguments: argparse.Namespace) -> None:
    """Put the usual values where none was given. Raises UserError for values that cannot be, or without a task."""
    given = [name for name in ("mask", *USUAL) if getattr(arguments, name) is not None]
    if arguments.task is None and given:
        raise UserError(f"--{given[0]} says what is seen of an example; name the task with --task")
    for name, value in USUAL.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.factor < 1:
        raise UserError(f"--factor must be at least 1, not {arguments.factor}")
    if not 0 <= arguments.noise < float("inf"):
        raise UserError(f"--noise must be 0 or above, not {arguments.noise}")
    if arguments.task == "inpaint" and bool(arguments.mask) == bool(arguments.part):
        raise UserError("--task inpaint needs either --mask FILE or --part PART")


def operator(arguments: argparse.Namespace, spec: Spec, *, seed: int = 0) -> Operator:
    """The operator of the task for this data."""
    from reverie.training.reading import read_mask
    from reverie.training.restoring import operator_for

    mask = read_mask(arguments.mask, spec) if arguments.mask else None
    return operator_for(
        arguments.task, spec, mask=mask, part=arguments.part, factor=arguments.factor, blur=arguments.blur,
        share=arguments.share, degrees=arguments.degrees, seed=seed,
    )  # fmt: skip


def told(arguments: argparse.Namespace) -> dict[str, Any]:
    """How a record names the task: what was given of its own options, and those values that differ from the usual."""
    own = {name: getattr(arguments, name) for name in OWN.get(arguments.task, ())}
    kept = {name: value for name, value in own.items() if value not in (None, USUAL.get(name))}
    return {"task": arguments.task, **kept}
