"""A trained model: a denoiser together with what its data are and how it was made.

A model is a folder: `config.json` (everything needed to rebuild it, names from closed lists) and `model.safetensors`
(the averaged weights). A run folder holds one as `model/`. Loading runs no code from the files and needs no option.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.core import files, modelfile
from reverie.core.distributions import Distribution
from reverie.core.errors import BAD_DATA, UserError
from reverie.core.ration import rationed
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar
from reverie.data import Spec
from reverie.denoisers import Condition, Denoiser, Latent, Stage
from reverie.samplers import Grid, Sampler, Step, prior, trajectory
from reverie.samplers import sample as draw_samples
from reverie.training.assemble import build_denoiser, build_sampler, coded
from reverie.training.checkpoint import Checkpoints, Loaded
from reverie.training.recipe import SECTIONS, Config, merge, training_options, validated
from reverie.training.rounded import swift

FORMAT = 1
LARGEST = 65_536  # of a whole number among a file's options
DECODED = 256  # codes that are decoded together
LARGEST_EXAMPLE = 1 << 28  # numbers


class Model(Denoiser):
    """A denoiser that knows its data (`spec`), how it was made (`config`) and what came out (`summary`).

    Where it denoises an autoencoder's codes, `stage` makes them of data and data of them, and `seen` describes them;
    otherwise `stage` is None and `seen` is `spec`. Samples are always data.
    """

    def __init__(self, denoiser: Denoiser, spec: Spec, config: Config, summary: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.spec, self.config, self.summary = spec, config, summary or {}

    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        return self.denoiser(xt, t)

    def given(self, condition: Condition) -> Model:
        return Model(self.denoiser.given(condition), self.spec, self.config, self.summary)

    @property
    def stage(self) -> Stage | None:
        return self.denoiser.stage if isinstance(self.denoiser, Latent) else None

    @property
    def seen(self) -> Spec:
        return coded(self.spec, self.stage)

    @torch.inference_mode()
    def shown(self, x: Tensor) -> Tensor:
        """What the denoiser sees, as data (N, *shape) in model units: codes decoded, data as they are."""
        stage = self.stage
        return x if stage is None else torch.cat([stage.read(some) for some in x.split(DECODED)])

    def labels(self, count: int, label: str | int | None, first: int = 0) -> Tensor | None:
        """Labels (count,) of samples number first, first + 1, …: a class by name or number, `each` in turn, `none`."""
        classes = self.spec.classes
        if label is not None and label != "none" and not classes:
            raise UserError(f"label '{label}' was asked for, but this model was trained without labels")
        if not classes or label == "none":
            return None
        if label is None or label == "each":
            return torch.arange(first, first + count) % len(classes)
        return torch.full((count,), self.spec.label(str(label)))

    def walk(
        self,
        count: int,
        *,
        sampler: Sampler | None = None,
        grid: Grid | None = None,
        steps: int | list[float] | None = None,
    ) -> Walk:
        """How `count` samples would be drawn; what is not given is the model's own choice."""
        own_sampler, own_grid, own_steps = build_sampler(self.config)
        chosen = own_steps if steps is None else steps
        times = chosen if isinstance(chosen, list) else (grid or own_grid).times(self.process, chosen)
        return Walk(sampler or own_sampler, times, (count, *self.seen.shape))

    def condition(
        self, count: int, label: str | int | None, given: dict[str, float] | None, first: int
    ) -> Condition | None:
        """The condition of samples number first, first + 1, …; None if they have none."""
        device = device_of(self)
        numbers = self.spec.standardise(given)[None].to(device) if given else None
        labels = self.labels(count, label, first)
        if labels is None and numbers is None:
            return None
        return Condition(None if labels is None else labels.to(device), numbers)

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
        condition: Condition | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Samples (count, *shape) in model units; what is not given is the model's own choice.

        Sample i has number first + i and depends on (seed, number) alone. `wrap` puts a guidance around the denoiser;
        `condition`, one for each sample, stands in for `label` and `given`.
        """
        walk = self.walk(count, sampler=sampler, grid=grid, steps=steps)
        inner = swift(self, self.config, device_of(self))
        denoiser: Denoiser = inner if wrap is None else wrap(inner)
        drawn = draw_samples(
            denoiser.eval(),
            walk.shape,
            sampler=walk.sampler,
            steps=walk.times,
            rng=Rng(seed).fork("sample"),
            first=first,
            condition=condition or self.condition(count, label, given, first),
            progress=progress,
        )
        return self.shown(drawn)

    @torch.inference_mode()
    def moments(
        self,
        walk: Walk,
        *,
        frames: int,
        label: str | int | None = None,
        seed: int = 0,
        first: int = 0,
        wrap: Callable[[Denoiser], Denoiser] | None = None,
    ) -> Iterator[Step]:
        """The same walk looked at: at most `frames` moments of it, equally spaced in steps, first and last included."""
        condition = self.condition(walk.shape[0], label, None, first)
        inner = swift(self, self.config, device_of(self))
        steered: Denoiser = inner if wrap is None else wrap(inner)
        bound = steered if condition is None else steered.given(condition)
        streams = Rng(seed).fork("sample").at(torch.arange(first, first + walk.shape[0]))
        x1 = prior(self, walk.shape).sample(streams.fork("prior"))
        last = len(walk.times) - 1
        shown = {round(k * last / (frames - 1)) for k in range(frames)}
        steps = trajectory(bound.eval(), walk.sampler, x1, walk.times, rng=streams)
        yield from (step for step in steps if step.index in shown)


@dataclass(frozen=True)
class Walk:
    """A sampler, the times it visits from 1 to 0, and the shape (count, *D) of what it draws."""

    sampler: Sampler
    times: list[float]
    shape: tuple[int, ...]


def device_of(model: Denoiser) -> torch.device:
    """Where the model's parameters are."""
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
    """The model in a run folder (its newest checkpoint if it is unfinished), a checkpoint or a model folder.

    Raises UserError (exit code 65) for a damaged file, an unknown name in it, or weights that do not fit.
    """
    folder = Path(path)
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if (folder / "run.json").is_file():
        saved = Checkpoints(folder / "checkpoints", keep=1).latest()
        if saved is None:
            raise UserError(f"the run '{path}' has no checkpoint yet")
        return _from_checkpoint(folder, saved, device)
    if (folder / "state.json").is_file() and (folder.parent.parent / "run.json").is_file():
        checkpoints = Checkpoints(folder.parent, keep=1)
        return _from_checkpoint(folder.parent.parent, checkpoints.load(folder), device)
    if not (folder / "config.json").is_file():
        raise UserError(f"'{path}' is neither a run folder nor a model folder nor a checkpoint")
    stored = files.read_folder(folder)
    for name in ("config.json", "model.safetensors"):
        if name not in stored:
            raise UserError(f"{folder} lacks {name}", code=BAD_DATA)
    described = modelfile.read_config(stored["config.json"])
    return _model(described, modelfile.load_tensors(stored["model.safetensors"]), folder).to(device)


def earliest(path: str | Path, *, device: str | torch.device = "cpu") -> Model:
    """The model at the first resume point of the run at `path`: worse than the run's end, and of the same data.

    Raises UserError where `path` is no run, or where the first resume point is the last one.
    """
    kept = Checkpoints(Path(path) / "checkpoints", keep=1)
    if len(kept.steps()) < 2:
        raise UserError(f"'{path}' has no early resume point; name a worse model of the same data")
    return _from_checkpoint(Path(path), kept.load(kept.path(kept.steps()[0])), device)


def _from_checkpoint(run: Path, saved: Loaded, device: str | torch.device) -> Model:
    """The averaged weights of an unfinished run."""
    described = modelfile.read_config((run / "run.json").read_bytes())
    described["summary"] = {"steps": saved.step}
    return _model(described, saved.tensors["average"], run).to(device)


def _model(described: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> Model:
    if described.get("format_version") != FORMAT:
        version = described.get("format_version")
        raise UserError(f"{folder}: format version {version!r} is not {FORMAT}, the one read here", code=BAD_DATA)
    if "kind" in described:
        use = {"classifier": "--guide classifier:FOLDER", "autoencoder": "reverie train DATA --latent FOLDER"}
        kind = str(described["kind"])
        raise UserError(f"'{folder}' holds no diffusion model but: {kind} (used by {use.get(kind, 'nothing here')})")
    with rationed(tensors, f"{folder}/config.json"):
        spec = Spec.from_json(described["spec"])
        config = validated(described["config"])
        training_options(config)
        _refuse_giants(config, spec)
        denoiser = build_denoiser(config, spec)
    modelfile.strict_load(denoiser, tensors, str(folder))
    return Model(denoiser, spec, config, described.get("summary", {})).eval().requires_grad_(False)


def _refuse_giants(config: Config, spec: Spec) -> None:
    """Sizes that no weight of the file stands for are held as well: of an example, a table, a walk. ValueError."""
    if spec.dimensions > LARGEST_EXAMPLE:
        raise ValueError(
            f"an example of {spec.dimensions:.6g} numbers is more than the {LARGEST_EXAMPLE} that are read"
        )
    for section in (*SECTIONS, "sampling"):
        for key, value in config.get(section, {}).items():
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int) and number > LARGEST:
                    raise ValueError(f"{section}.{key} must be at most {LARGEST}, not {number:.6g}")


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
