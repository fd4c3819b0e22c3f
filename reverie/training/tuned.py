"""`tune` for a trained model: choose solver and grid by its own trajectories, and keep the choice in its folder.

Reference: Watson et al. 2021, arXiv:2106.03802; the method is in `reverie.samplers.tuning`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from reverie.core import catalog, files, modelfile
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.denoisers import Condition, Denoiser
from reverie.processes import Gaussian
from reverie.samplers import chunk_size, tune
from reverie.samplers.base import prior
from reverie.samplers.tuning import FEW, Choice
from reverie.training.model import Model
from reverie.training.recipe import Config, validated


def tune_model(
    model: Model,
    evaluations: int,
    *,
    starts: int | None = None,
    effort: int = 6,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[Choice, Choice]:
    """The best fitted choice for a number of denoiser calls, and the best unfitted one.

    `starts` trajectories (default: 16 images, up to 512 points), labels in turn; `effort` is how often each time of
    the grid is moved. Raises UserError for a process that is not Gaussian or fewer than 2 evaluations.
    """
    if not isinstance(model.process, Gaussian):
        raise UserError(f"a grid can be fitted to Gaussian noise only, not to '{type(model.process).__name__.lower()}'")
    if evaluations < 2:
        raise UserError(f"--steps must be at least 2, not {evaluations}")
    count = starts or max(16, min(512, chunk_size(tuple(model.spec.shape))))
    labels = model.labels(count, None)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    denoiser: Denoiser = model if labels is None else model.given(Condition(labels.to(device)))
    x1 = prior(model, (count, *model.spec.shape)).sample(Rng(seed).fork("tune"))
    return tune(denoiser.eval(), x1, evaluations, keep=2, rounds=effort, solvers=FEW, progress=progress)


def keep_choice(folder: str | Path, choice: Choice) -> Path:
    """Write sampler, grid and number of steps into the model's `config.json`; returns the model's folder.

    The folder is replaced whole, with its manifest. Raises UserError for a run that is not finished.
    """
    place = Path(folder)
    place = place / "model" if (place / "model" / "config.json").is_file() else place
    if not (place / "config.json").is_file():
        raise UserError(f"'{folder}' holds no finished model to keep the choice in")
    stored = files.read_folder(place)
    described = modelfile.read_config(stored["config.json"])
    described["config"] = {**described["config"], **chosen_sections(choice)}
    validated(described["config"])
    stored["config.json"] = json.dumps(described, indent=1, ensure_ascii=False).encode()
    files.write_folder(place, stored, replace=True)
    return place


def chosen_sections(choice: Choice) -> Config:
    """The configuration's sections `sampler`, `grid` and `sampling` for a choice."""
    sections: dict[str, Any] = {
        "sampler": catalog.describe("samplers", choice.sampler),
        "grid": catalog.describe("samplers", choice.grid),
        "sampling": {"steps": len(choice.times) - 1},
    }
    return sections
