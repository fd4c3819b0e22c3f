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

    def log(self, entries: list[dict[str, Any]]) -> None:
        """The scalars of the log's entries."""
        if not entries or not self._open(entries[0]["step"]):
            return
        assert self._writer is not None
        for entry in entries:
            for name in SCALARS:
                if entry.get(name) is not None:
                    self._writer.add_scalar(name, entry[name], entry["step"])
        self._writer.flush()

    def show(self, picture: bytes, step: int) -> None:
        """A picture (PNG) of samples."""
        if self._open(step):
            assert self._writer is not None
            self._writer.add_image("samples", pictures.pixels(picture), step, dataformats="HWC")

    def _open(self, step: int) -> bool:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return False
        if self._writer is None:
            self._writer = SummaryWriter(str(self.folder), purge_step=step)
        return True
