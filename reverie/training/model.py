"""A trained model: a denoiser together with what its data are and how it was made.

A model is a folder: `config.json` (everything needed to rebuild it, names from closed lists) and `model.safetensors`
(the averaged weights). A run folder holds one as `model/`. Loading runs no code from the files and needs no option.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.core import files, modelfile
from reverie.core.distributions import Distribution
from reverie.core.errors import BAD_DATA, UserError
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar
from reverie.data import Spec
from reverie.denoisers import Condition, Denoiser
from reverie.samplers import Grid, Sampler
from reverie.samplers import sample as draw_samples
from reverie.training.assemble import build_denoiser, build_sampler
from reverie.training.recipe import Config, merge, validated

FORMAT = 1


class Model(Denoiser):
    """A denoiser that knows its data: `spec` (shape, range, labels), `config` (how it was made), `summary` (what came out)."""

    def __init__(self, denoiser: Denoiser, spec: Spec, config: Config, summary: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.spec, self.config, self.summary = spec, config, summary or {}

    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        return self.denoiser(xt, t)

    def given(self, condition: Condition) -> Model:
        return Model(self.denoiser.given(condition), self.spec, self.config, self.summary)

    def labels(self, count: int, label: str | int | None, first: int = 0) -> Tensor | None:
        """Labels (count,) for samples number first, first + 1, …: one class by name or number, `each` in turn, or `none`."""
        classes = self.spec.classes
        if label is not None and label != "none" and not classes:
            raise UserError(f"label '{label}' was asked for, but this model was trained without labels")
        if not classes or label == "none":
            return None
        if label is None or label == "each":
            return torch.arange(first, first + count) % len(classes)
        return torch.full((count,), self.spec.label(str(label)))

    def draw(
        self,
        count: int,
        *,
        label: str | int | None = None,
        given: dict[str, float] | None = None,
        seed: int = 0,
        first: int = 0,
        steps: int | list[float] | None = None,
        sampler: Sampler | None = None,
        grid: Grid | None = None,
        wrap: Callable[[Denoiser], Denoiser] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Samples (count, *shape) in model units; what is not given is the model's own choice.

        Sample i has number first + i and depends on (seed, number) alone. `wrap` puts a guidance around the denoiser.
        """
        own_sampler, own_grid, own_steps = build_sampler(self.config)
        numbers = self.spec.standardise(given)[None].to(_device(self)) if given else None
        labels = self.labels(count, label, first)
        labels = labels if labels is None else labels.to(_device(self))
        condition = None if labels is None and numbers is None else Condition(labels, numbers)
        denoiser: Denoiser = self if wrap is None else wrap(self)
        return draw_samples(
            denoiser.eval(),
            (count, *self.spec.shape),
            sampler=sampler or own_sampler,
            steps=steps if steps is not None else own_steps,
            grid=grid or own_grid,
            rng=Rng(seed).fork("sample"),
            first=first,
            condition=condition,
            progress=progress,
        )


def _device(model: Denoiser) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def contents(denoiser: Denoiser, spec: Spec, config: Config, summary: dict[str, Any]) -> dict[str, bytes]:
    """The files of a model folder, as bytes."""
    described = {"format_version": FORMAT, "spec": spec.to_json(), "config": config, "summary": summary}
    weights = {name: tensor.detach() for name, tensor in denoiser.state_dict().items()}
    return {
        "config.json": json.dumps(described, indent=1, ensure_ascii=False).encode(),
        "model.safetensors": modelfile.save_tensors(weights, {"format": "pt"}),
    }


def load(path: str | Path, *, device: str | torch.device = "cpu") -> Model:
    """The model in a run folder or a model folder, ready to sample.

    Raises UserError (exit code 65) for a damaged file, an unknown name in it, or weights that do not fit.
    """
    folder = Path(path)
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not (folder / "config.json").is_file():
        raise UserError(f"'{path}' is neither a run folder nor a model folder (no config.json in it)")
    stored = files.read_folder(folder)
    described = modelfile.read_config(stored["config.json"])
    if described.get("format_version") != FORMAT:
        version = described.get("format_version")
        raise UserError(f"{folder}: format version {version!r} is not {FORMAT}, the one read here", code=BAD_DATA)
    try:
        spec = Spec.from_json(described["spec"])
        config = validated(described["config"])
        denoiser = build_denoiser(config, spec)
    except KeyError as error:
        raise UserError(f"{folder}/config.json lacks {error}", code=BAD_DATA) from error
    except UserError as error:
        raise UserError(f"{folder}/config.json: {error}", code=BAD_DATA) from error
    modelfile.strict_load(denoiser, modelfile.load_tensors(stored["model.safetensors"]), str(folder))
    model = Model(denoiser, spec, config, described.get("summary", {}))
    return model.to(device).eval().requires_grad_(False)


def sample(
    model: Model,
    count: int = 16,
    *,
    label: str | int | None = None,
    steps: int | None = None,
    seed: int = 0,
    sampler: str | Sampler | None = None,
) -> Tensor:
    """Samples in the data's own units: (count, *shape), uint8 for 8-bit images.

    `sampler` is a name of the catalogue or a `Sampler`. Raises UserError for an unknown name or label.
    """
    if isinstance(sampler, str):
        config = merge(model.config, {"sampler": {"name": sampler}})
        sampler = build_sampler(validated(config))[0]
    return model.spec.scale.decode(model.draw(count, label=label, steps=steps, seed=seed, sampler=sampler))


def label_names(spec: Spec, labels: Sequence[int]) -> list[str]:
    return [spec.classes[i] for i in labels]
