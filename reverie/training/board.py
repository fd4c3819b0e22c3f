"""The run's numbers and pictures for TensorBoard, where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie import pictures

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SCALARS = ("loss", "grad_norm", "learning_rate", "held_out")


class Board:
    """A TensorBoard log in a folder, begun when there is something to show; nothing where it is not installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def show(self, entries: list[dict[str, Any]], picture: bytes, step: int) -> None:
        """The scalars of the log's entries, and a picture (PNG)."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        if self._writer is None:
            first = min((e["step"] for e in entries), default=step)
            self._writer = SummaryWriter(str(self.folder), purge_step=first)
        for entry in entries:
            for name in SCALARS:
                if entry.get(name) is not None:
                    self._writer.add_scalar(name, entry[name], entry["step"])
        self._writer.add_image("samples", pictures.pixels(picture), step, dataformats="HWC")
        self._writer.flush()
