"""Options that come from the catalogue: for each section of a configuration its name, and the entry's own options.

--schedule cosine --schedule.clip 0.999   ↔   [schedule] name = "cosine", clip = 0.999
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from typing import Any

from reverie.core import catalog
from reverie.training.options import HELP, Training
from reverie.training.recipe import DEFAULTS, SECTIONS, Config

PLAIN = (
    "int",
    "float",
    "bool",
    "str",
)  # options of these types, and tuples of them, can be typed; the rest are objects
BY_DATA = {"batch": "by the data and the time", "learning_rate": "by the data"}
WHAT = {
    "process": "how data are destroyed",
    "schedule": "signal and noise by time",
    "denoiser": "how a network becomes a denoiser",
    "prediction": "what the network predicts",
    "network": "the network",
    "loss": "the training objective",
    "weight": "the loss's weight by time",
    "times": "the law of training times",
    "sampler": "how samples are drawn",
    "grid": "the times that a sampler visits",
    "critic": "the network that an adversarial loss sets against the denoiser's",
    "stage": "the autoencoder that --vae trains",
    "labeller": "the network that --classifier trains",
}


def all_shown(argv: Iterable[str]) -> bool:
    """Whether every single option is to be listed by the help."""
    return "--help-all" in argv


def add_sections(parser: argparse.ArgumentParser, sections: Iterable[str], *, every: bool) -> None:
    """`--SECTION NAME` and `--SECTION.OPTION VALUE` for these sections of a configuration."""
    together = None if every else parser.add_argument_group("method (--help-all lists the options of each)")
    for section in sections:
        room, base = SECTIONS[section]
        names = catalog.names(room, base)
        group = together or parser.add_argument_group(f"{section}: {WHAT[section]}")
        default = DEFAULTS[section]["name"] if section in DEFAULTS else "by the data"
        text = f"{WHAT[section]}: {', '.join(names)} (default: {default})"
        group.add_argument(f"--{section}", metavar="NAME", help=text)
        for option, users in union(room, names).items():
            text = "; ".join(f"{key}: {o.annotation}, default {o.default or 'by the data'}" for key, o in users)
            hidden = text.replace("%", "%%") if every else argparse.SUPPRESS
            group.add_argument(f"--{section}.{option}", metavar="VALUE", help=hidden)


def union(room: str, names: list[str]) -> dict[str, list[tuple[str, catalog.Option]]]:
    """Option name → the entries that have it, for options that can be typed; the data give `shape` and the like."""
    found: dict[str, list[tuple[str, catalog.Option]]] = {}
    for key in names:
        for option in catalog.options(room, key):
            kinds = {
                part.strip().removeprefix("tuple[").split(",")[0].rstrip("]") for part in option.annotation.split("|")
            }
            from_data = room == "networks" and option.name in ("shape", "outputs", "classes", "conditions")
            if kinds & set(PLAIN) and not from_data:
                found.setdefault(option.name, []).append((key, option))
    return found


def add_training(parser: argparse.ArgumentParser, *, every: bool) -> None:
    """`--training.OPTION VALUE` for the training table beyond its length, and `--sampling.steps`."""
    group = parser.add_argument_group("training: optimizer, averages, bookkeeping")
    for field in dataclasses.fields(Training):
        if field.name in ("minutes", "steps"):
            continue
        shown = every or field.name in ("batch", "learning_rate", "ema", "holdout", "precision")
        text = f"{HELP[field.name]} (default: {BY_DATA.get(field.name, field.default)})" if shown else argparse.SUPPRESS
        group.add_argument(f"--training.{field.name}", metavar="VALUE", help=text)
    group.add_argument("--balance", action="store_const", const="true", dest="training.balance", help=HELP["balance"])
    group.add_argument("--evaluate-every", metavar="N", dest="training.evaluate_every", help=HELP["evaluate_every"])
    text = f"steps that sampling takes from then on (default: {DEFAULTS['sampling']['steps']})"
    group.add_argument("--sampling.steps", metavar="N", help=text)


def chosen(arguments: argparse.Namespace, sections: Iterable[str]) -> Config:
    """What the command line said, as a configuration (text values; `validated` converts them)."""
    config: dict[str, Any] = {}
    given = {key: value for key, value in vars(arguments).items() if value is not None}
    for section in sections:
        own = {key.split(".", 1)[1]: value for key, value in given.items() if key.startswith(f"{section}.")}
        if section in given:
            own = {"name": given[section], **own}
        if own:
            config[section] = own
    return config


# how data are read: option of `open_data` → (type, metavar, help)
READING: dict[str, tuple[str, str]] = {
    "label": ("COLUMN", "column or array that holds the labels; 'none' leaves them out"),
    "condition": ("COLUMNS", "columns of numbers that samples are conditioned on, a,b,…"),
    "size": ("HxW", "scale pictures to this size (default: as they are)"),
    "mode": ("MODE", "turn pictures into L, LA, RGB or RGBA (default: as they are)"),
    "layout": ("AXES", "axes of one example of an array, such as HWC (default: found out)"),
    "bounds": ("LOW,HIGH", "the range of the values (default: measured)"),
}


def add_reading(parser: argparse.ArgumentParser) -> None:
    """The options of `reverie.data.open_data`."""
    group = parser.add_argument_group("reading the data")
    for name, (metavar, text) in READING.items():
        group.add_argument(f"--{name}", metavar=metavar, dest=f"reading.{name}", help=text)


def reading(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line said about reading the data."""
    given = vars(arguments)
    return {name: given[f"reading.{name}"] for name in READING if given.get(f"reading.{name}") is not None}


def device(name: str | None) -> Any:
    """A torch device by name, the best there is without one. Raises UserError for one that cannot be had."""
    import torch

    from reverie.core.errors import UserError
    from reverie.training.distributed import best_device

    if name is None:
        return best_device()
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        have = ", ".join(dict.fromkeys(("cpu", str(best_device()))))
        raise UserError(f"the device '{name}' cannot be used here; this machine has: {have}") from error
    return chosen
