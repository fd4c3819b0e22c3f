"""The resumable state of a training run: weights, their average, the optimizer, and one number, the update.

Everything else (data order, noise, times, label dropout, learning rate) is a function of (seed, update), so that a
resumed run does what the uninterrupted one would have done, to the same bits on one CPU.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from reverie import networks
from reverie.core.errors import NON_FINITE, UserError
from reverie.core.rng import Rng
from reverie.core.tensors import onto_gpu
from reverie.data import Dataset
from reverie.denoisers import Condition, Denoiser
from reverie.losses import Loss
from reverie.training.checkpoint import Loaded, flatten_optimizer, restore_optimizer
from reverie.training.distributed import World
from reverie.training.ema import Average
from reverie.training.feed import Batch, Feed
from reverie.training.options import Training
from reverie.training.snapshots import Tracks

GLANCE = 10  # updates that a GPU is given before the host waits to read their losses


class Objective(nn.Module):
    """The denoiser with its loss: what a distributed engine wraps."""

    def __init__(self, denoiser: Denoiser, loss: Loss) -> None:
        super().__init__()
        self.denoiser, self.loss = denoiser, loss

    def forward(self, x0: Tensor, condition: Condition | None, rng: Rng) -> Tensor:
        """The loss of each example, (B,)."""
        denoiser = self.denoiser if condition is None else self.denoiser.given(condition)
        return self.loss(denoiser, x0, rng=rng)


class Run:
    """A denoiser in training. `step` counts updates done; `planned` is the length of the run, None until known."""

    def __init__(
        self,
        denoiser: Denoiser,
        loss: Loss,
        dataset: Dataset,
        options: Training,
        *,
        seed: int = 0,
        world: World | None = None,
    ) -> None:
        self.world = world or World()
        self.options, self.seed, self.loss = options, seed, loss
        self.denoiser = denoiser.to(self.world.device)
        self.train_index, self.held_index = dataset.split(options.holdout, seed)
        self.feed = Feed(
            dataset, self.train_index,
            seed=seed, device=self.world.device, dropout=options.label_dropout, balanced=options.balance,
        )  # fmt: skip
        self.objective = self.world.wrap(Objective(self.denoiser, loss))
        self.average = Average(self.denoiser, options.ema)
        self.tracks = Tracks(self.denoiser, wanted=options.snapshots > 0)
        self.parameters = [p for p in self.denoiser.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=options.learning_rate,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
            fused=True,
        )
        # fused steps ask this number whether to pass: 0 until something is not finite
        self._halted = torch.zeros((), device=self.world.device)
        self.optimizer.found_inf = self._halted  # type: ignore[attr-defined]
        self._unseen: list[tuple[int, Tensor]] = []
        self.glance = GLANCE if onto_gpu(self.world.device) else 1
        self.step = 0
        self.planned = options.steps
        self._precision = networks.precision(options.precision, self.world.device)
        networks.recompute(self.denoiser, options.recompute)

    def compile(self) -> None:
        """Let torch write kernels for the network: the next update waits for them. State and names stay as they are."""
        network = getattr(self.denoiser, "network", self.denoiser)
        network.compile()

    def rate(self, step: int) -> float:
        """The learning rate of an update: a linear rise, then flat, then a cosine fall over the last share `decay`."""
        options, planned = self.options, self.planned or math.inf
        warmup = min(options.warmup, planned // 5) if self.planned else options.warmup
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        done = step / planned
        fall = max(0.0, done - (1 - options.decay)) / options.decay if options.decay else 0.0
        return options.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))

    def positions(self, step: int) -> list[range]:
        """The positions that this process computes in an update, in `accumulate` parts."""
        options = self.options
        part = options.batch // options.accumulate
        try:
            share = self.world.share(part)
        except ValueError as error:
            raise UserError(str(error)) from error
        first = step * options.batch
        return [range(first + k * part + share.start, first + k * part + share.stop) for k in range(options.accumulate)]

    def update(self) -> Tensor:
        """One step of the optimizer; returns the loss and the gradient norm, (2,) on the device.

        If either is not finite, the optimizer passes over this update and all that follow, and `look` raises.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        parts, following = self.positions(self.step), self.positions(self.step + 1)
        total = torch.zeros((), device=self.world.device)
        for k, positions in enumerate(parts):
            batch = self.feed.at(positions, parts[k + 1] if k + 1 < len(parts) else following[0])
            total += self._backward(batch, last=k == len(parts) - 1)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        seen = torch.stack((self.world.mean(total), norm))
        self._halted.copy_(torch.maximum(self._halted, (~seen.isfinite().all()).to(self._halted)))
        self.optimizer.step()
        self._unseen.append((self.step, seen))
        if len(self._unseen) == self.glance:
            self.look()
        self.optimizer.zero_grad(set_to_none=False)
        self.step += 1
        self.average.update(self.step)
        self.tracks.update(self.step)
        return seen

    def look(self) -> None:
        """Read on the host what the updates since the last look have found, which waits for the device.

        Raises UserError (exit code 75) for a loss or gradient that is not finite; the weights are those before it.
        """
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        for (step, _), (loss, norm) in zip(unseen, torch.stack([s for _, s in unseen]).tolist(), strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._refuse(step, loss)

    def _backward(self, batch: Batch, *, last: bool) -> Tensor:
        rng = Rng(self.seed).fork("train").at(batch.positions)
        silent = self.world.size > 1 and not last
        with self.objective.no_sync() if silent else nullcontext():  # type: ignore[operator]
            with self._precision():
                loss = self.objective(batch.x0, batch.condition, rng).mean() / self.options.accumulate
            loss.backward()
        return loss.detach()

    def _refuse(self, step: int, loss: float) -> None:
        """Name the update, the first parameter without a finite gradient, and the examples that were shown."""
        named = self.denoiser.named_parameters()
        at_fault = next((n for n, p in named if p.grad is not None and not torch.isfinite(p.grad).all()), "none")
        shown = [i for positions in self.positions(step) for i in self.feed.examples(positions)[:4].tolist()]
        self.optimizer.zero_grad()
        raise UserError(
            f"update {step + 1}: the loss ({loss:g}) or a gradient is not finite (first parameter: {at_fault}; "
            f"examples {', '.join(map(str, shown))}, …). Weights and checkpoints are untouched; "
            "try a lower --training.learning_rate, or --training.precision fp32",
            code=NON_FINITE,
        )

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Everything to be saved, by group. Raises like `look`."""
        self.look()
        optimizer, _ = flatten_optimizer(self.optimizer, self.names())
        return {
            "model": self.denoiser.state_dict(),
            "average": self.average.module.state_dict(),
            **self.tracks.tensors(),
            "optimizer": optimizer,
            **({"loss": memory} if (memory := self.loss.state_dict()) else {}),
        }

    def names(self) -> list[str]:
        return [name for name, p in self.denoiser.named_parameters() if p.requires_grad]

    def state(self) -> dict[str, Any]:
        """The numbers beside the tensors."""
        return {
            "step": self.step,
            "planned": self.planned,
            "optimizer": flatten_optimizer(self.optimizer, self.names())[1],
            "threads": torch.get_num_threads(),
            "processes": self.world.size,
            "torch": torch.__version__,
        }

    def restore(self, saved: Loaded) -> list[str]:
        """Continue from a checkpoint; returns a line for each thing that makes the continuation not bitwise."""
        self.denoiser.load_state_dict(saved.tensors["model"])
        self.average.module.load_state_dict(saved.tensors["average"])
        self.tracks.restore(saved.tensors)
        self.loss.load_state_dict(saved.tensors.get("loss", {}))
        restore_optimizer(self.optimizer, self.names(), saved.tensors["optimizer"], saved.state["optimizer"])
        self.step, self.planned = saved.step, saved.state["planned"]
        now = {"threads": torch.get_num_threads(), "processes": self.world.size, "torch": torch.__version__}
        changed = [f"{k} was {saved.state[k]}, is {v}" for k, v in now.items() if saved.state[k] != v]
        return [f"not bitwise the uninterrupted run: {line}" for line in changed]
