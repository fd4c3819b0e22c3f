"""A configuration is names and numbers that map one to one onto constructor arguments.

It is a dictionary of sections (`[schedule] name = "cosine"`, `[network] width = 64`, …), merged key by key from the
data's defaults, a recipe file and the command line, in this order; choosing another name resets a section's options.
Every key is validated strictly against the class it is for; names come from the catalogue, a closed list.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reverie.core import catalog
from reverie.core.errors import UserError, unknown
from reverie.training.options import Training

# section → (room, base class of its entries)
SECTIONS: dict[str, tuple[str, str | None]] = {
    "process": ("processes", "Process"),
    "schedule": ("processes", "Schedule"),
    "denoiser": ("denoisers", "Learned"),
    "prediction": ("denoisers", "Prediction"),
    "network": ("networks", "Network"),
    "loss": ("losses", "Loss"),
    "weight": ("losses", "Weight"),
    "times": ("losses", "Times"),
    "sampler": ("samplers", "Sampler"),
    "grid": ("samplers", "Grid"),
    "critic": ("networks", "Network"),  # of an adversarial loss alone
    "stage": ("networks", "Vae"),  # of latent diffusion alone
    "labeller": ("networks", "Labeller"),  # of a classifier alone
}
TABLES = ("training", "sampling")
SAMPLING = {"steps": "int"}
RECIPES = (Path(__file__).resolve().parents[2] / "recipes", Path(__file__).resolve().parents[1] / "recipes")

Config = dict[str, Any]

DEFAULTS: Config = {
    "seed": 0,
    "process": {"name": "gaussian"},
    "schedule": {"name": "vp-linear"},
    "denoiser": {"name": "network-denoiser"},
    "prediction": {"name": "f"},
    "loss": {"name": "regression"},
    "weight": {"name": "edm-weight"},
    "times": {"name": "log-normal"},
    "sampler": {"name": "deis"},
    "grid": {"name": "karras"},
    "sampling": {"steps": 20},
    "training": {},
}


def recipe_path(name: str) -> Path:
    """A recipe file by path, or by the name of one of those that come with the toolkit."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise UserError(f"there is no recipe file '{name}'")
        return Path(name)
    known = {path.stem: path for folder in RECIPES if folder.is_dir() for path in sorted(folder.glob("*.toml"))}
    if name not in known:
        raise unknown("recipe", name, known)
    return known[name]


def read_recipe(name: str) -> Config:
    """A recipe as a configuration, every key checked. Raises UserError that names the file and the key."""
    path = recipe_path(name)
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from error
    try:
        return validated(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def merge(*layers: Mapping[str, Any]) -> Config:
    """Later layers win, key by key; a layer that names another entry for a section resets that section."""
    merged: Config = {}
    for layer in layers:
        for section, value in layer.items():
            if not isinstance(value, Mapping):
                merged[section] = value
            elif "name" in value and merged.get(section, {}).get("name", value["name"]) != value["name"]:
                merged[section] = dict(value)
            else:
                merged[section] = {**merged.get(section, {}), **value}
    return merged


def validated(config: Mapping[str, Any], *, partial: bool = False) -> Config:
    """The configuration with every section, name, option and type checked, and values converted from text.

    `partial`: options of a section whose name is not given yet are left for later.
    """
    checked: Config = {}
    for section, value in config.items():
        if section == "seed":
            checked["seed"] = catalog.checked(value, "int", "seed")
        elif section in SECTIONS:
            later = partial and isinstance(value, Mapping) and "name" not in value
            checked[section] = dict(value) if later else _section(section, value)
        elif section in TABLES:
            checked[section] = _table(section, value)
        else:
            raise unknown("section", section, ["seed", *SECTIONS, *TABLES])
    return checked


def _section(section: str, value: Any) -> Config:
    if not isinstance(value, Mapping):
        value = {"name": value}
    room, base = SECTIONS[section]
    if "name" not in value:
        raise UserError(f"[{section}] needs a name: {', '.join(catalog.names(room, base))}")
    if value["name"] not in catalog.names(room, base):
        raise unknown(section, value["name"], catalog.names(room, base))
    allowed = {option.name: option.annotation for option in catalog.options(room, value["name"])}
    checked: Config = {"name": value["name"]}
    for key, given in value.items():
        if key == "name":
            continue
        if key not in allowed:
            raise unknown(f"option of {section} '{value['name']}':", key, allowed)
        plain = not isinstance(given, Mapping) and not allowed[key][:1].isupper()
        checked[key] = catalog.checked(given, allowed[key], f"{section}.{key}") if plain else given
        if isinstance(checked[key], tuple):
            checked[key] = list(checked[key])
    return checked


def _table(section: str, value: Any) -> Config:
    if not isinstance(value, Mapping):
        raise UserError(f"[{section}] must be a table of options")
    allowed = SAMPLING if section == "sampling" else {f.name: str(f.type) for f in dataclasses.fields(Training)}
    for key in value:
        if key not in allowed:
            raise unknown(f"option of {section}:", key, allowed)
    return {key: catalog.checked(given, allowed[key], f"{section}.{key}") for key, given in value.items()}


def training_options(config: Mapping[str, Any]) -> Training:
    """The `[training]` table as an object. Raises UserError for a value out of range."""
    try:
        return Training(**config.get("training", {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"training: {error}") from error
