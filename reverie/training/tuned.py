"""`tune` for a trained model: choose solver and grid, or the length of the weights' average, and keep the choice.

Solver and grid are fitted to the model's own trajectories (Watson et al. 2021, arXiv:2106.03802; the method is in
`reverie.samplers.tuning`), the average is put together from snapshots (`reverie.training.snapshots`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.core import catalog, files, modelfile
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import Dataset, open_data
from reverie.denoisers import Condition, Denoiser
from reverie.processes import Gaussian
from reverie.samplers import tune
from reverie.samplers.base import prior
from reverie.samplers.tuning import FEW, Choice
from reverie.training import snapshots
from reverie.training.assemble import build_loss
from reverie.training.codes import seen
from reverie.training.folder import RunFolder
from reverie.training.loop import loss_by_time
from reverie.training.model import Model, load
from reverie.training.recipe import Config, merge, validated


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

    `starts` trajectories (default: 16 of large images, 1,024 of points), labels in turn; `effort` is how often each
    time of the grid is moved. Raises UserError for a process that is not Gaussian or fewer than 2 evaluations.
    """
    if not isinstance(model.process, Gaussian):
        raise UserError(f"a grid can be fitted to Gaussian noise only, not to '{type(model.process).__name__.lower()}'")
    if evaluations < 2:
        raise UserError(f"--steps must be at least 2, not {evaluations}")
    count = starts or max(16, min(1024, 8192 // max(1, math.prod(model.seen.shape))))
    labels = model.labels(count, None)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    denoiser: Denoiser = model if labels is None else model.given(Condition(labels.to(device)))
    x1 = prior(model, (count, *model.seen.shape)).sample(Rng(seed).fork("tune"))
    return tune(denoiser.eval(), x1, evaluations, rounds=effort, solvers=FEW, progress=progress)


def keep_choice(folder: str | Path, choice: Choice) -> Path:
    """Write sampler, grid and number of steps into the model's `config.json`; returns the model's folder.

    Raises UserError for a run that is not finished.
    """
    return _rewritten(folder, chosen_sections(choice))


def average_losses(run: Path, widths: Sequence[float]) -> dict[float, float]:
    """The held-out loss of the weights averaged with each of these widths, as a run logs it.

    Raises UserError where nothing was held out or the run has no snapshots.
    """
    model, dataset, index = _with_held_out(run)
    loss, seed = build_loss(model.config), int(model.config["seed"])
    found = {}
    for width in widths:
        model.denoiser.load_state_dict(snapshots.reconstruct(run, width)[0], strict=False)
        found[width] = loss_by_time(model, loss, dataset, index, seed=seed)[0]
    return found


def keep_average(run: Path, width: float, held_out: float | None = None) -> Path:
    """Give the run's model the weights averaged with this width; returns the model's folder."""
    weights, _ = snapshots.reconstruct(run, width)
    return _rewritten(run, {"training": {"ema": width}}, weights, {"held_out_loss": held_out})


def _with_held_out(run: Path) -> tuple[Model, Dataset, Tensor]:
    _, described = RunFolder.open(run)
    model = load(run)
    dataset = seen(open_data(described["source"], **described["reading"]), model.stage)
    index = dataset.split(float(model.config["training"].get("holdout", 0.1)), int(model.config["seed"]))[1]
    if not len(index):
        raise UserError(f"'{run}' holds nothing out that averages could be compared by; name a width: --ema 0.1")
    return model, dataset, index


def _rewritten(
    folder: str | Path, sections: Config, weights: dict[str, Tensor] | None = None, summary: Config | None = None
) -> Path:
    """A model's folder with other sections of its configuration, other weights, another summary, replaced whole."""
    place = Path(folder)
    place = place / "model" if (place / "model" / "config.json").is_file() else place
    if not (place / "config.json").is_file():
        raise UserError(f"'{folder}' holds no finished model to keep the choice in")
    stored = files.read_folder(place)
    described = modelfile.read_config(stored["config.json"])
    described["config"] = merge(described["config"], sections)
    described["summary"] = {**described.get("summary", {}), **(summary or {})}
    validated(described["config"])
    stored["config.json"] = json.dumps(described, indent=1, ensure_ascii=False).encode()
    if weights is not None:
        own = modelfile.load_tensors(stored["model.safetensors"])
        new = {name: weights[name].to(tensor.dtype) if name in weights else tensor for name, tensor in own.items()}
        stored["model.safetensors"] = modelfile.save_tensors(new, {"format": "pt"})
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
