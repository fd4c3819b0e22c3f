"""What the doctor looks at: a run's description, its log, its data as they are now, its weights and some samples."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reverie import metrics
from reverie.core import catalog
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import Dataset, Spec, open_data
from reverie.evaluation.features import choose
from reverie.evaluation.measures import gaussian_fit
from reverie.metrics import Estimate
from reverie.training.artefacts import moments
from reverie.training.assemble import build_denoiser, build_loss
from reverie.training.checkpoint import Checkpoints
from reverie.training.codes import seen
from reverie.training.folder import RunFolder
from reverie.training.loop import loss_by_time
from reverie.training.model import Model, load
from reverie.training.recipe import Config, merge, validated
from reverie.training.scoring import like_data

SAMPLES = 300
MORE = 1000  # of examples of few numbers, which are soon drawn: what is amiss with them is a matter of fine structure
FEW = 16


@dataclass(frozen=True)
class Health:
    """How far samples are from data: energy distance, of real data in their place and of a Gaussian fit; `scale` is
    the mean distance of two real examples.
    """

    distance: Estimate
    floor: Estimate
    gaussian: float
    scale: float

    @property
    def apart(self) -> bool:
        """Surely told from data: by 5 errors, a tenth of the way to the Gaussian, 1 % of scale."""
        error = (self.distance.error**2 + self.floor.error**2) ** 0.5
        gap = self.distance.value - self.floor.value
        return not gap <= max(5 * error, 0.1 * (self.gaussian - self.floor.value), 0.01 * self.scale)


class Patient:
    """A run opened as far as it can be; `refusal` says why its data, and `unreadable` why its model, could not be."""

    def __init__(self, path: str | Path, *, seed: int = 0, data: str | None = None) -> None:
        folder, described = RunFolder.open(path)
        self.path, self.seed, self.log = Path(path), seed, folder.metrics()
        self.config: Config = validated(described["config"])
        self.spec = Spec.from_json(described["spec"])
        self.refusal, self.unreadable = "", ""
        self.dataset: Dataset | None = None
        self.model: Model | None = None
        self.raw: Model | None = None
        try:
            self.dataset = open_data(data or described["source"], **described["reading"])
        except UserError as error:
            self.refusal = str(error)
        try:
            self.model = load(path)
            self.raw = _without_average(self.path, self.model)
        except UserError as error:
            self.unreadable = str(error)

    @property
    def fits(self) -> bool:
        """Whether data and model are there, and of one shape."""
        return self.dataset is not None and self.model is not None and self.dataset.spec.shape == self.model.spec.shape

    def indices(self) -> tuple[Tensor, Tensor]:
        """Training and held-out examples; all of them twice where nothing is held out."""
        assert self.dataset is not None
        train, held = self.dataset.split(float(self.config["training"].get("holdout", 0.1)), int(self.config["seed"]))
        return train, held if len(held) >= 40 else train

    def look(self, model: Model) -> tuple[float, float]:
        """The mean loss over times on held-out examples, as training logs it, and how far it is from what was logged.

        The distance is relative and the largest at any noise level, of the levels themselves too: a schedule decides
        them. Where no curve was logged, or its levels follow what was seen, it is that of the mean, where greater.
        """
        assert self.dataset is not None
        data, seed = seen(self.dataset, model.stage), int(self.config["seed"])
        now, curve = loss_by_time(model.denoiser, build_loss(model.config), data, self.indices()[1], seed=seed)
        logged = self.logged()
        off = [now / logged - 1] if logged else []
        if len(then := self._logged_curve()) == len(curve):
            flat = ([value for level in side for value in level] for side in (curve, then))
            off += [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(*flat, strict=True)]
        return now, max((o if math.isfinite(o) else math.inf for o in off), default=0.0)

    def _logged_curve(self) -> list[list[float]]:
        """(t, loss) by noise level, as logged for the weights that were kept; empty where that cannot be held to."""
        looks = [e["by_time"] for e in self.log if e.get("by_time") and e.get("held_out") == self.logged()]
        return looks[-1] if looks and not self.remembers else []

    @property
    def remembers(self) -> bool:
        """Whether the training loss has a state of its own, so that a fresh one differs."""
        return bool(build_loss(self.config).state_dict())

    def logged(self) -> float | None:
        """The held-out loss of the weights that were kept, else the last in the log."""
        kept = self.model.summary.get("held_out_loss") if self.model else None
        if kept is not None:
            return float(kept)
        return next((e["held_out"] for e in reversed(self.log) if e.get("held_out") is not None), None)

    def losses(self) -> list[float]:
        """The training loss of each logged update."""
        return [e["loss"] for e in self.log if "loss" in e]

    @property
    def count(self) -> int:
        """How many samples to look at."""
        return MORE if self.spec.dimensions <= FEW else SAMPLES

    def draw(self, steps: int | None = None) -> Tensor:
        """Samples in model units, for labels and conditions as the data have them."""
        assert self.model is not None
        assert self.dataset is not None
        cpu = torch.device("cpu")
        condition = like_data(self.dataset, self.indices()[0], self.count, seed=self.seed, device=cpu)
        return self.model.draw(self.count, seed=self.seed, steps=steps, condition=condition)

    def health(self, samples: Tensor) -> Health:
        """Samples beside all data; a finite answer needs finite samples."""
        assert self.dataset is not None
        index = self.indices()
        train, real = (self.dataset.rows(i[:2000]) for i in (index[0], torch.cat(index)))
        space = choose("pca", train, None)
        chosen = Rng(self.seed).fork("floor").uniform(len(train)).argsort()[: self.count]
        x, floor, simple, y = (
            space.of(side) for side in (samples, train[chosen], gaussian_fit(train, self.count, self.seed), real)
        )
        return Health(
            metrics.estimate(metrics.energy_distance, x, y),
            metrics.estimate(metrics.energy_distance, floor, y),
            metrics.energy_distance(simple, y),
            float(torch.pdist(floor).mean()),
        )

    def matching(self, within: float) -> tuple[str, str] | None:
        """The (section, name) of the prediction or schedule under which these weights lose what was logged."""
        assert self.model is not None
        found: list[tuple[float, tuple[str, str]]] = []
        names = itertools.chain(
            (("prediction", n) for n in catalog.names("denoisers", "Prediction")),
            (("schedule", n) for n in catalog.names("processes", "Schedule")),
        )
        for section, name in names:
            if (other := _as_if(self.model, section, name)) is not None:
                found.append((abs(self.look(other)[1]), (section, name)))
        best = min(found, key=lambda pair: pair[0], default=(math.inf, None))
        return best[1] if best[0] < within else None


def profile(spec: Spec) -> tuple[list[float], list[float]]:
    """Means and spreads of the channels."""
    return list(spec.mean), list(spec.spread)


def profile_of(x: Tensor) -> tuple[list[float], list[float]]:
    """Means and spreads of the channels of samples."""
    return moments(x)


def _as_if(model: Model, section: str, name: str) -> Model | None:
    """The same weights under another prediction or schedule; None where that does not go together."""
    options = {k: v for k, v in model.config[section].items() if k == "data_std"}
    for entry in ({"name": name, **options}, {"name": name}):
        try:
            config = validated({**model.config, section: entry})
            denoiser = build_denoiser(config, model.spec)
            denoiser.load_state_dict(model.denoiser.state_dict())
        except (UserError, ValueError, RuntimeError):
            continue
        return Model(denoiser.eval(), model.spec, config)
    return None


def _without_average(path: Path, model: Model) -> Model | None:
    """The newest checkpoint's weights as the optimizer left them."""
    saved = Checkpoints(path / "checkpoints", keep=1).latest() if (path / "checkpoints").is_dir() else None
    if saved is None:
        return None
    denoiser = build_denoiser(merge(model.config), model.spec)
    denoiser.load_state_dict(saved.tensors["model"])
    return Model(denoiser.eval().requires_grad_(False), model.spec, model.config)
