"""Data as an autoencoder's codes: what a latent diffusion model is trained on and scored by.

A dataset of codes is the data seen through a `Stage`: the same examples, labels and split, each example one draw from
q(e | x) that depends on its number alone, standardised.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import Dataset, Spec
from reverie.denoisers import Stage
from reverie.training import kept
from reverie.training.assemble import build_stage, coded
from reverie.training.recipe import Config

KIND, OPTION, FOLDER = "autoencoder", "--vae", "stage"
CHUNK = 256  # examples encoded together
MOST = 1 << 28  # numbers that are kept in memory: 1 GiB of codes


class Codes(Dataset):
    """The codes of a dataset. `whole`: all are made at once, where they fit into memory, instead of when asked for."""

    def __init__(self, data: Dataset, stage: Stage, *, whole: bool = False) -> None:
        self.data, self.stage = data, stage
        self.spec, self.report = coded(data.spec, stage), data.report
        self.label, self.given, self.names, self.held = data.label, data.given, data.names, data.held
        self._table: Tensor | None = None
        if whole and len(data) * math.prod(stage.shape) <= MOST:
            self._table = self._encode(torch.arange(len(data)))

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, index: Tensor) -> Tensor:
        return self._encode(index) if self._table is None else self._table[index]

    def _encode(self, index: Tensor) -> Tensor:
        rng, device = Rng(0).fork("code"), self.stage.centre.device
        parts = [
            self.stage.encode(self.data.rows(some).to(device), rng=rng.at(some)).cpu() for some in index.split(CHUNK)
        ]
        return torch.cat(parts) if parts else torch.empty(0, *self.spec.shape)

    def labels(self, index: Tensor) -> Tensor | None:
        return self.data.labels(index)

    def condition(self, index: Tensor) -> Tensor | None:
        return self.data.condition(index)

    def native(self, index: Tensor) -> Tensor:
        return self.data.native(index)

    def twins(self) -> Tensor | None:
        return self.data.twins()

    def split(self, holdout: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
        return self.data.split(holdout, seed)


def seen(data: Dataset, stage: Stage | None, *, whole: bool = False) -> Dataset:
    """What a denoiser sees of data: their codes, or themselves without a stage."""
    return data if stage is None else Codes(data, stage, whole=whole)


def load_stage(path: str | Path, spec: Spec) -> tuple[dict[str, Any], Stage]:
    """The autoencoder in the folder `path`, for data of this description: how it is made, and itself.

    Raises UserError for a folder that holds none, or one of data of another shape or scale.
    """
    found = kept.read(path, KIND, option=OPTION, build=lambda own, made: build_stage({"stage": made["network"]}, own))
    if found.spec.shape != spec.shape or found.spec.scale != spec.scale:
        raise UserError(
            f"the autoencoder '{path}' is for {list(found.spec.shape)} of '{found.spec.name}', the data are "
            f"{list(spec.shape)}" + (", scaled in another way" if found.spec.shape == spec.shape else "")
        )
    return dict(found.config["network"]), cast(Stage, found.network)


def first_stage(path: str | Path | None, spec: Spec, chosen: Config) -> tuple[Config, Stage | None]:
    """What was chosen, with the autoencoder at `path` as its section `stage`; as it was where there is none.

    Raises UserError for a stage without weights, or other options of it than those it was trained with.
    """
    asked = chosen.get("stage", {})
    if path is None:
        if asked:
            raise UserError("a stage needs the weights of an autoencoder: name its folder with --latent")
        return chosen, None
    described, stage = load_stage(path, spec)
    for key, value in asked.items():
        if described.get(key) != value:
            raise UserError(f"stage.{key} is {described.get(key)} in '{path}' and cannot be {value}")
    return {**chosen, "stage": described}, stage
