"""From a configuration to objects: each section names an entry of the catalogue and its options."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from torch import nn

from reverie.core import catalog
from reverie.core.errors import UserError
from reverie.data import Scale, Spec
from reverie.denoisers import Denoiser, Latent, Stage
from reverie.losses import Loss
from reverie.samplers import Grid, Sampler
from reverie.training.recipe import SECTIONS, Config


def part(config: Config, section: str, **given: Any) -> Any:
    """The object that a section describes; of `given`, what its constructor takes is passed."""
    room, _ = SECTIONS[section]
    entry = config[section]
    wanted = takes(config, section)
    taken = {k: v for k, v in given.items() if k in wanted and k not in entry}
    return catalog.build(room, entry, where=section, **taken)


def takes(config: Config, section: str) -> list[str]:
    """The arguments of a section's entry, by name."""
    room, _ = SECTIONS[section]
    return list(inspect.signature(catalog.find(room, config[section]["name"])).parameters)


def build_stage(config: Config, spec: Spec) -> Stage:
    """The autoencoder that `config["stage"]` describes, for data of this description."""
    return Stage(part(config, "stage", shape=tuple(spec.shape)))


def coded(spec: Spec, stage: Stage | None) -> Spec:
    """What a denoiser sees of data described by `spec`: their standardised codes, or themselves without a stage.

    Codes are a picture, signal or vector without levels, so that defaults for them are those for any data like that.
    """
    if stage is None:
        return spec
    plain: dict[str, Any] = {"dtype": "float32", "columns": (), "layout": "", "mode": "", "std": 1.0, "extra": {}}
    return dataclasses.replace(
        spec,
        kind=("vector", "signal", "image", "volume")[len(stage.shape) - 1],
        shape=stage.shape,
        scale=Scale(),
        mean=(0.0,) * stage.shape[0],
        spread=(1.0,) * stage.shape[0],
        **plain,
    )


def build_denoiser(config: Config, spec: Spec, network: nn.Module | None = None) -> Denoiser:
    """The process, the prediction and the network, joined; weights as the network's own initialiser leaves them.

    With a stage it is a denoiser of that autoencoder's codes, and `spec` describes the data.
    """
    if "stage" in config:
        stage = build_stage(config, spec)
        return Latent(_denoiser(config, coded(spec, stage), network), stage)
    return _denoiser(config, spec, network)


def _denoiser(config: Config, spec: Spec, network: nn.Module | None) -> Denoiser:
    process = part(config, "process", schedule=part(config, "schedule"))
    levels = getattr(process, "bins", None)
    if levels is not None and levels != spec.scale.bins:
        have = f"{spec.scale.bins} levels" if spec.scale.bins else "no levels"
        raise UserError(f"process '{config['process']['name']}' works on {levels} levels, but the data have {have}")
    kind: Any = catalog.find("denoisers", config["denoiser"]["name"])
    given: dict[str, Any] = {"process": process, "prediction": part(config, "prediction")}
    given["network"] = network or _network(config, "network", spec, *kind.asks(tuple(spec.shape), config["denoiser"]))
    if "critic" in takes(config, "denoiser"):
        given["critic"] = _network(config, "critic", spec, kind.judges(tuple(spec.shape)), 1)
    try:
        return part(config, "denoiser", **given)
    except ValueError as error:
        raise UserError(f"denoiser: {error}") from error


def _network(config: Config, section: str, spec: Spec, shape: tuple[int, ...], outputs: int) -> nn.Module:
    return part(
        config, section, shape=shape, outputs=outputs, classes=len(spec.classes), conditions=len(spec.conditions)
    )


def build_loss(config: Config) -> Loss:
    return part(config, "loss", weight=part(config, "weight"), times=part(config, "times"))


def build_sampler(config: Config) -> tuple[Sampler, Grid, int]:
    """The sampler, the grid and the number of steps that sampling uses unless told otherwise."""
    return part(config, "sampler"), part(config, "grid"), int(config["sampling"]["steps"])
