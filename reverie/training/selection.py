"""Looking at a run while it trains: figures at intervals, the weights that had the best one, and when to stop.

Everything here is a function of (seed, update) and of what a resume point holds, so that a resumed run selects and
stops as the uninterrupted one would have.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from reverie.metrics import energy_distance
from reverie.training.checkpoint import Loaded
from reverie.training.loop import held_out_loss
from reverie.training.model import Model
from reverie.training.options import Training
from reverie.training.run import Run
from reverie.training.scoring import like_data

DRAWN = 256  # samples that a look draws for the energy distance
GROUP = "best"


class Selection:
    """The best figure so far, how many looks ago it was, and the averaged weights that had it, if they are wanted."""

    def __init__(self, options: Training) -> None:
        self.options = options
        self.best, self.stale, self.step = math.inf, 0, 0
        self.held_out: float | None = None  # the held-out loss of the weights that would be kept
        self.weights: dict[str, Tensor] = {}

    @property
    def figure(self) -> str:
        """The name, in the log, of the figure that selects and stops."""
        return "energy" if self.options.select == "energy" else "held_out"

    @property
    def plateau(self) -> bool:
        """Whether the figure has not got better for too long."""
        return 0 < self.options.patience <= self.stale

    def look(self, run: Run, model: Model) -> dict[str, Any]:
        """A line for the log: held-out loss by noise level, and the energy distance of samples where that selects."""
        mean, by_time = held_out_loss(run)
        entry: dict[str, Any] = {"step": run.step, "by_time": by_time, "held_out": None if math.isnan(mean) else mean}
        if self.options.select == "energy":
            entry["energy"] = energy(run, model)
        self._hold(entry, run)
        return entry

    def _hold(self, entry: dict[str, Any], run: Run) -> None:
        """A look's figures against the best so far."""
        value, keeps = entry[self.figure], self.options.select != "last"
        better = value is not None and value < self.best
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best, self.step = value, run.step
        if better and keeps:
            self.weights = {name: tensor.clone() for name, tensor in run.average.module.state_dict().items()}
        if better or not self.weights:
            self.held_out = entry["held_out"]

    def model(self, last: Model) -> Model:
        """The model that the run ends with: the last one, or with the weights that had the best figure."""
        if not self.weights:
            return last
        best = copy.deepcopy(last)
        best.denoiser.load_state_dict(self.weights)
        return best

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a resume point keeps, by group."""
        return {GROUP: self.weights} if self.weights else {}

    def state(self) -> dict[str, Any]:
        """The numbers beside the tensors."""
        best = None if math.isinf(self.best) else self.best
        return {"stale": self.stale, "best": best, "best_step": self.step, "held_out": self.held_out}

    def restore(self, saved: Loaded) -> None:
        """Go on from a resume point."""
        own = saved.state["session"]
        self.best = math.inf if own["best"] is None else own["best"]
        self.stale, self.step, self.held_out = own["stale"], own.get("best_step", 0), own.get("held_out")
        self.weights = saved.tensors.get(GROUP, {})


@torch.inference_mode()
def energy(run: Run, model: Model) -> float | None:
    """The energy distance of samples to held-out data, in model units; None without two held-out examples.

    The same noise, labels and examples at every call, so that its changes are the model's.
    """
    if len(run.held_index) < 2:
        return None
    data, device = run.feed.dataset, run.world.device
    condition = like_data(data, run.held_index, DRAWN, seed=run.seed, device=device)
    x = model.draw(DRAWN, seed=run.seed, condition=condition)
    return energy_distance(x, model.shown(data.rows(run.held_index[: 4 * DRAWN]).to(device)))
