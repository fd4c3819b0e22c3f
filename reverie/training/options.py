"""How a run is trained: plain numbers, the `[training]` table of a recipe. This module stays free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Training:
    """Length, optimizer and bookkeeping of a run.

    `minutes` are turned into steps by timing the first ones; with `steps` too, whichever ends first. Rates are per
    update; an update is one step of the optimizer on `batch` examples in all, over every process.
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 64
    accumulate: int = 1
    recompute: bool = False
    learning_rate: float = 1e-3
    warmup: int = 100
    decay: float = 1.0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 1.0
    ema: float = 0.1
    label_dropout: float = 0.1
    balance: bool = False
    holdout: float = 0.1
    precision: str = "auto"
    compile: str = "auto"
    previews: int = 4
    checkpoints: int = 4
    keep: int = 2
    patience: int = 0
    evaluate_every: int = 0
    select: str = "last"
    snapshots: int = 0

    def __post_init__(self) -> None:
        positive = ("minutes", "steps", "batch", "accumulate", "learning_rate", "clip", "keep")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        counts = ("warmup", "previews", "checkpoints", "patience", "evaluate_every", "snapshots")
        for name in ("weight_decay", *counts):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        for name in ("ema", "label_dropout", "holdout", "beta1", "beta2", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} cannot be cut into {self.accumulate} equal parts")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision must be auto, fp32 or bf16, not '{self.precision}'")
        if self.select not in ("last", "held_out", "energy"):
            raise ValueError(f"select must be last, held_out or energy, not '{self.select}'")
        if self.compile not in ("auto", "on", "off"):
            raise ValueError(f"compile must be auto, on or off, not '{self.compile}'")


HELP = {
    "minutes": "length of training in minutes (measured, then turned into steps)",
    "steps": "length of training in updates; with minutes too, whichever ends first",
    "batch": "examples per update, over all processes",
    "accumulate": "parts an update's batch is computed in (less memory, same result)",
    "recompute": "compute the network's blocks again on the way back (far less memory, a third slower, same result)",
    "learning_rate": "peak learning rate of AdamW",
    "warmup": "updates over which the learning rate rises",
    "decay": "share of the run over which the learning rate then falls to 0 (cosine)",
    "weight_decay": "AdamW's decoupled weight decay",
    "beta1": "AdamW's first moment decay (its momentum, which games such as an adversarial loss do not bear)",
    "beta2": "AdamW's second moment decay",
    "clip": "gradient norm above which gradients are scaled down",
    "ema": "length of the weights' average as a share of the run so far; 0 for none",
    "label_dropout": "share of examples shown without their label or condition",
    "balance": "show rare classes as often as common ones",
    "holdout": "share of the data never trained on",
    "precision": "auto, fp32 or bf16 arithmetic in the network",
    "compile": "auto, on or off: torch writes kernels for the network (auto: on a GPU, from ten minutes on)",
    "previews": "sample grids drawn during the run",
    "checkpoints": "resume points written during the run, besides the last",
    "keep": "newest resume points kept on disk, besides the first",
    "patience": "stop after this many looks (previews included) without a better figure; 0 for never",
    "evaluate_every": "updates between looks at the held-out loss, besides the previews; 0 for none",
    "select": "weights that are kept: last, or of the best look by held_out (loss) or energy (distance of samples)",
    "snapshots": "averages written during the run, from which 'reverie tune --ema' makes any other; 0 for none",
}
