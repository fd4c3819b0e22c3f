"""A training run from start to finish, on disk: checkpoints, previews, logs, and everything it leaves behind.

What the user sees goes through a `View`; the loop itself is `reverie.training.loop.train`.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie import networks
from reverie.core import files
from reverie.core.errors import BAD_DATA, UserError
from reverie.data import Dataset, Spec, open_data
from reverie.data.check import brief
from reverie.denoisers import Latent, Stage
from reverie.training import artefacts, codes
from reverie.training.assemble import build_denoiser, build_loss, coded
from reverie.training.board import Board
from reverie.training.checkpoint import Checkpoints, Lock
from reverie.training.closing import close
from reverie.training.defaults import choose, explain, ladder
from reverie.training.distributed import World
from reverie.training.folder import RunFolder
from reverie.training.interrupt import Interrupt
from reverie.training.loop import Progress, plan, train
from reverie.training.memory import fit
from reverie.training.model import Model
from reverie.training.pace import in_pace
from reverie.training.recipe import Config, training_options
from reverie.training.run import Run
from reverie.training.selection import Selection
from reverie.training.view import Silent, View

PROBE = 24  # updates that are timed before the length of a run given in minutes is fixed
SLACK = 0.05  # share of what is left of a timed run by which its length may be off before it is corrected
SPARE = 600.0  # seconds after which a checkpoint is due in any case


class Session:
    """One run in its folder. `begin` makes a new one, `resume` goes on with an old one, `go` trains to the end."""

    def __init__(
        self,
        folder: RunFolder,
        dataset: Dataset,
        config: Config,
        source: str,
        *,
        stage: Stage | None = None,
        world: World | None = None,
        view: View | None = None,
    ) -> None:
        self.folder, self.dataset, self.config, self.source = folder, dataset, config, source
        self.world, self.view = world or World(), view or Silent()
        if not self.world.is_main:
            self.view = Silent()
        self.spec: Spec = dataset.spec
        seed, options = int(config["seed"]), training_options(config)
        denoiser = build_denoiser(config, self.spec)
        networks.initialise(denoiser, seed)
        if isinstance(denoiser, Latent) and stage is not None:
            denoiser.stage.load_state_dict(stage.to(self.world.device).state_dict())
        self.view.batch = options.batch
        data = codes.seen(dataset, stage, whole=True)
        self.run = Run(denoiser, build_loss(config), data, options, seed=seed, world=self.world)
        self.checkpoints = Checkpoints(folder.path / "checkpoints", options.keep, keep_first=True)
        self.selection = Selection(options)
        self.elapsed = 0.0
        self._pending: list[dict[str, Any]] = []
        self._durations: deque[float] = deque(maxlen=50)
        self._saved_at = time.monotonic()
        self._board = Board(folder.path / "tensorboard")

    @classmethod
    def begin(
        cls, source: str, chosen: Config, *, path: str | Path | None = None, reading: dict[str, Any] | None = None,
        latent: str | Path | None = None, memory: int | None = None,
        world: World | None = None, view: View | None = None,
    ) -> Session:  # fmt: skip
        """Open the data, choose what was not chosen, say it, and make the run's folder (runs/NAME by default).

        `latent` is an autoencoder's folder, in whose codes the model then works; the run keeps a copy of it.
        `memory` is the most bytes to take: see `reverie.training.memory`.
        """
        world, view = world or World(), view or Silent()
        training_options(chosen)
        dataset = open_data(source, **(reading or {}))
        folder = Path(path) if path else Path("runs") / (dataset.spec.name or "run")
        if world.is_main:
            RunFolder.absent(folder)
        train = dataset.split(float(chosen.get("training", {}).get("holdout", 0.1)), int(chosen.get("seed", 0)))[0]
        chosen, stage = codes.first_stage(latent, dataset.spec, chosen)
        seen = coded(dataset.spec, stage)
        data = codes.seen(dataset, stage)
        config = ladder(choose(seen, len(train), chosen), chosen, data, train)
        # a limit of memory promises the updates of a run without one
        paced = chosen if memory is not None else in_pace(config, chosen, dataset.spec, data, world=world)
        short = []
        if paced != chosen:
            usual, config = config["training"]["batch"], ladder(choose(seen, len(train), paced), paced, data, train)
            short = [("", f"(a batch of {usual} would leave too few updates in this time)")]
        rows = explain(seen, len(train), config) + short
        if memory is not None:
            needs = fit(config, dataset.spec, limit=memory, world=world)
            rows.append(("memory", f"{needs}; at most {memory / 1e9:.3g} GB"))
        session = cls(RunFolder(folder), dataset, config, source, stage=stage, world=world, view=view)
        if world.is_main:
            for line in brief(dataset):
                view.say(line)
            view.table(rows)
            described = {"source": source, "reading": reading or {}, "spec": dataset.spec.to_json()}
            RunFolder.create(folder, described, config, {codes.FOLDER: files.read_folder(latent)} if latent else {})
        world.barrier()
        return session

    @classmethod
    def resume(
        cls, path: str | Path, *, source: str | None = None, length: dict[str, Any] | None = None,
        world: World | None = None, view: View | None = None,
    ) -> Session:  # fmt: skip
        """Go on with the run at `path`; `source` if its data have moved, `length` (steps, minutes) for another end."""
        folder, described = RunFolder.open(path)
        config: Config = described["config"]
        if length:
            kept = {k: v for k, v in config["training"].items() if k not in ("steps", "minutes")}
            config = {**config, "training": {**kept, **length}}
        dataset = open_data(source or described["source"], **described["reading"])
        if Spec.from_json(described["spec"]) != dataset.spec:
            raise UserError(
                f"the data at '{source or described['source']}' are not those that the run was made with "
                f"(then {described['spec'].get('count')} of {described['spec'].get('shape')}, "
                f"now {dataset.spec.count} of {list(dataset.spec.shape)})",
                code=BAD_DATA,
            )
        stage = codes.load_stage(folder.path / codes.FOLDER, dataset.spec)[1] if "stage" in config else None
        session = cls(folder, dataset, config, source or described["source"], stage=stage, world=world, view=view)
        session._restore(extended=bool(length))
        return session

    def _restore(self, *, extended: bool) -> None:
        saved = self.checkpoints.latest(self.view.warn)
        if saved is None:
            self.view.warn("no checkpoint was written yet: starting at update 0")
        else:
            for line in self.run.restore(saved):
                self.view.warn(line)
            self.elapsed = saved.state["session"]["elapsed"]
            self.selection.restore(saved)
            if extended:
                self.run.planned = self.run.options.steps
        self.view.say(f"going on at update {self.run.step}" + (f" of {self.run.planned}" if self.run.planned else ""))

    def go(self) -> int:
        """Train to the end, or until a signal; returns the exit code."""
        with Lock(self.folder.path) if self.world.is_main else nullcontext(), Interrupt() as interrupt:
            if self.world.is_main:
                # only now: until the lock is held, the log may be another's
                self.folder.rewind(self.run.step, ended=self.run.step == self.run.planned)
            networks.keep_memory()
            if networks.compiles(self.run.options.compile, self.world.device, self.run.options.minutes or 0.0):
                self.view.say("compiling the network: the first updates wait about a minute (--training.compile off)")
                self.run.compile()
            began = time.monotonic()
            spent = self.elapsed
            for progress in () if self.selection.plateau else train(self.run):
                self.elapsed = spent + time.monotonic() - began
                self._after(progress)
                if self._ends(progress.step, interrupt):
                    break
            self.view.pause()
            if interrupt.code:
                self._save()
                self.view.say(
                    f"stopped at update {self.run.step}, saved; go on with: reverie train --resume {self.folder.path}"
                )
                return interrupt.code
            x = self._preview(last=True)
            self._save()
            if x is not None:
                close(self, x)
        return 0

    def _ends(self, step: int, interrupt: Interrupt) -> bool:
        if self.world.size > 1 and step % 10 == 0 and self.world.agree(bool(interrupt.code)) and not interrupt.code:
            interrupt.code = 128 + signal.SIGTERM
        stopped = interrupt.code and (self.world.size == 1 or step % 10 == 0)
        return bool(stopped) or self.selection.plateau

    def _after(self, progress: Progress) -> None:
        step, options = progress.step, self.run.options
        if step % stride(step) == 0:
            entry = {"step": step, "seen": progress.seen, "learning_rate": progress.learning_rate}
            self._pending.append(entry)
        self._durations.append(progress.seconds)
        self._length(step)
        self.view.update(progress, self.run.planned, sum(self._durations) / len(self._durations))
        planned = self.run.planned
        if planned and step < planned and due(step, planned, options.previews):
            self._preview()
        elif options.evaluate_every and step % options.evaluate_every == 0 and step != planned:
            self._pending.append(self.selection.look(self.run, self.model()))
        if planned and due(step, planned, options.snapshots) and self.world.is_main:
            self.run.tracks.write(self.folder.path, step)
        late = time.monotonic() - self._saved_at > SPARE if self.world.size == 1 else False
        if planned and step < planned and (due(step, planned, options.checkpoints) or late):
            self._save()

    def _length(self, step: int) -> None:
        """Fix, and later correct, the number of updates of a run whose length was given in minutes.

        Corrected soon after the machine gets slower or faster, so that the learning rate still falls to 0 in time.
        """
        options, planned = self.run.options, self.run.planned
        if not options.minutes:
            return
        left = 60 * options.minutes - self.elapsed
        if planned is None and len(self._durations) < PROBE and left > 0:
            return
        if planned is None or (step % PROBE == 0 and step < planned):
            timed = self.world.same(step + plan(self._durations, left))
            timed = min(timed, options.steps or timed)
            if planned is None or abs(timed - planned) > SLACK * (planned - step):
                self.run.planned = timed

    def model(self, summary: dict[str, Any] | None = None) -> Model:
        """The averaged weights as a model."""
        return Model(self.run.average.module, self.spec, self.config, summary)

    def _preview(self, *, last: bool = False) -> Tensor | None:
        """A look, and a sheet of samples (but for the last one, in passing) with their moments beside the data's."""
        model = self.model()
        entry = self.selection.look(self.run, model)
        if not self.world.is_main:
            return None
        self.view.pause()
        count = artefacts.sheet_size(self.spec)
        x = model.draw(count, seed=self.run.seed, steps=None if last else artefacts.passing(model))
        mean, spread = artefacts.moments(x)
        self._pending.append(entry | {"mean": mean, "spread": spread})
        finite = bool(torch.isfinite(x).all())
        name = f"previews/step-{self.run.step:08d}.png"
        picture = artefacts.sheet(x, self.spec, self.reference())
        self.folder.write(name, picture)
        self._board.show(picture, self.run.step)
        shown = ", ".join(f"{m:.2f}±{s:.2f}" for m, s in zip(mean[:4], spread[:4], strict=True))
        wanted = ", ".join(f"{m:.2f}±{s:.2f}" for m, s in zip(self.spec.mean[:4], self.spec.spread[:4], strict=True))
        held = f"held-out loss {entry['held_out']:.4g}; " if entry["held_out"] is not None else ""
        self.view.say(f"update {self.run.step}: {held}channels {shown}, data {wanted}; {name}")
        late = self.run.planned is not None and self.run.step >= self.run.planned / 2
        if finite and late and (parted := artefacts.drift(x, self.spec)):
            self.view.warn(parted)
        return x

    def reference(self, count: int = 2000) -> Tensor:
        """Training examples to set samples beside."""
        return self.dataset.rows(self.run.train_index[:count])

    def _flush(self) -> None:
        entries = [_read(entry) for entry in self._pending]
        if self.world.is_main:
            self.folder.log(entries)
            self._board.log(entries)
        self._pending = []

    def _save(self) -> None:
        if self.world.is_main:
            self._flush()
            own = {"elapsed": self.elapsed, **self.selection.state()}
            tensors = {**self.run.tensors(), **self.selection.tensors()}
            self.checkpoints.save(self.run.step, tensors, {**self.run.state(), "session": own})
        self._saved_at = time.monotonic()
        self.world.barrier()


def _read(entry: dict[str, Any]) -> dict[str, Any]:
    """A line of the log with the numbers of an update in the place of its tensor."""
    seen = entry.get("seen")
    if seen is None:
        return entry
    loss, norm = seen.tolist()
    return {"step": entry["step"], "loss": loss, "grad_norm": norm, "learning_rate": entry["learning_rate"]}


def stride(step: int) -> int:
    """Every how many updates one is logged: all of the first 2,000, then every 10th, from 200,000 every 100th."""
    return 1 if step <= 2000 else 10 if step <= 200_000 else 100


def due(step: int, planned: int, times: int) -> bool:
    """Whether something that happens `times` times in a run of `planned` updates happens after this one."""
    return bool(times) and any(step == round(planned * k / times) for k in range(1, times + 1))
