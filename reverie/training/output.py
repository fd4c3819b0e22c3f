"""Samples on disk: in the data's own form, with a sheet to look at and a note of how they were drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from reverie import data
from reverie.core import files
from reverie.core.errors import UserError
from reverie.training import artefacts
from reverie.training.model import Model

SHOWN = 256  # samples on a sheet at most


def fresh(asked: str | None, beside: Path) -> Path:
    """A folder that did not exist: the one asked for, or the next number beside the others."""
    if asked is not None:
        folder = Path(asked)
        if folder.exists():
            raise UserError(f"'{asked}' already exists; choose another folder with --out")
    else:
        taken = [int(p.name) for p in beside.iterdir() if p.name.isdigit()] if beside.is_dir() else []
        folder = beside / f"{max(taken, default=0) + 1:04d}"
    folder.mkdir(parents=True)
    return folder


def write(
    folder: Path,
    model: Model,
    x: Tensor,
    *,
    labels: Tensor | None,
    given: dict[str, float] | None = None,
    made: dict[str, Any],
) -> list[Path]:
    """Samples x (N, *shape) in model units, with what they were conditioned on, and `made`, how they were drawn.

    Returns the paths to show, a folder standing for what is in it.
    """
    written = data.save(x, model.spec, folder, labels=labels, given=given, first=int(made["first"]))
    sheet, note = folder / "sheet.png", folder / "sample.json"
    reference = x[:0] if data.is_picture(model.spec) else x
    files.write_file(sheet, artefacts.sheet(x[:SHOWN] if data.is_picture(model.spec) else x, model.spec, reference))
    files.write_file(note, json.dumps(made, indent=1).encode() + b"\n")
    return [sheet, note, *(written if len(written) < 4 else [folder])]


def write_walk(folder: Path, model: Model, frames: artefacts.Frames) -> list[Path]:
    """A filmstrip of some moments and an animation of all."""
    strip, moving = folder / "trajectory.png", folder / "trajectory.gif"
    few = frames[:: max(1, len(frames) // artefacts.MOMENTS)]
    few = few if few[-1] is frames[-1] else [*few, frames[-1]]
    files.write_file(strip, artefacts.strip(few, model.spec))
    files.write_file(moving, _animation(frames, model))
    return [strip, moving]


def _animation(frames: artefacts.Frames, model: Model) -> bytes:
    """One picture per moment, the last one held."""
    images = []
    for _, x in frames:
        picture = artefacts.sheet(x, model.spec, x)
        with Image.open(io.BytesIO(picture), formats=["PNG"]) as image:
            images.append(
                Image.fromarray(np.asarray(image.convert("RGB"))).convert("P", palette=Image.Palette.ADAPTIVE)
            )
    buffer = io.BytesIO()
    durations = [80] * (len(images) - 1) + [1500]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()
