"""From a configuration to objects: each section names an entry of the catalogue and its options."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from reverie.core import catalog
from reverie.core.errors import UserError
from reverie.data import Spec
from reverie.denoisers import Denoiser
from reverie.losses import Loss
from reverie.samplers import Grid, Sampler
from reverie.training.recipe import SECTIONS, Config


def part(config: Config, section: str, **given: Any) -> Any:
    """The object that a section describes; of `given`, what its constructor takes is passed."""
    room, _ = SECTIONS[section]
    entry = config[section]
    wanted = inspect.signature(catalog.find(room, entry["name"])).parameters
    taken = {k: v for k, v in given.items() if k in wanted and k not in entry}
    return catalog.build(room, entry, where=section, **taken)


def build_denoiser(config: Config, spec: Spec, network: nn.Module | None = None) -> Denoiser:
    """The process, the prediction and the network, joined; weights as the network's own initialiser leaves them."""
    process = part(config, "process", schedule=part(config, "schedule"))
    levels = getattr(process, "bins", None)
    if levels is not None and levels != spec.scale.bins:
        have = f"{spec.scale.bins} levels" if spec.scale.bins else "no levels"
        raise UserError(f"process '{config['process']['name']}' works on {levels} levels, but the data have {have}")
    prediction = part(config, "prediction")
    if network is None:
        denoiser: Any = catalog.find("denoisers", config["denoiser"]["name"])
        shape, outputs = denoiser.asks(tuple(spec.shape), config["denoiser"])
        network = part(
            config,
            "network",
            shape=shape,
            outputs=outputs,
            classes=len(spec.classes),
            conditions=len(spec.conditions),
        )
    try:
        return part(config, "denoiser", process=process, network=network, prediction=prediction)
    except ValueError as error:
        raise UserError(f"denoiser: {error}") from error


def build_loss(config: Config) -> Loss:
    return part(config, "loss", weight=part(config, "weight"), times=part(config, "times"))


def build_sampler(config: Config) -> tuple[Sampler, Grid, int]:
    """The sampler, the grid and the number of steps that sampling uses unless told otherwise."""
    return part(config, "sampler"), part(config, "grid"), int(config["sampling"]["steps"])
