"""Data sets that come with the package or are made by it: real digits, 2-D sets of points, signals and glyphs.

`digits` are scikit-learn's 1,797 handwritten digits (8×8, whole levels 0 … 16). The others are generated: example i of
(name, seed) depends on nothing else, so that any number of fresh examples can be drawn as a reference (`draw`).

>>> draw("moons", 3).shape
torch.Size([3, 2])
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import unknown
from reverie.core.rng import Rng
from reverie.data.base import Dataset
from reverie.data.discrete import ALPHABET, heartbeat, text
from reverie.data.formats.arrays import attach
from reverie.data.report import Report
from reverie.data.stored import stored

Draw = Callable[[int, Rng], tuple[Tensor, Tensor | None]]  # (count, rng) → (examples, labels)
POINTS = 20_000
PIECES = 2_000


def swiss_roll(count: int, rng: Rng) -> tuple[Tensor, None]:
    """A spiral r = θ, θ = 1.5π(1 + 2u), with normal noise of 0.5, divided by 7."""
    turn = 1.5 * math.pi * (1 + 2 * rng.fork("turn").uniform(count))
    noise = rng.fork("noise").normal(torch.empty(count, 2, dtype=torch.float64))
    return (torch.stack((turn * turn.cos(), turn * turn.sin()), 1) + 0.5 * noise) / 7, None


def moons(count: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Two interleaved half circles with normal noise of 0.08; the label is the moon."""
    label = rng.fork("label").integers(count, 2)
    angle = math.pi * rng.fork("angle").uniform(count)
    upper = torch.stack((angle.cos(), angle.sin()), 1)
    lower = torch.stack((1 - angle.cos(), 0.5 - angle.sin()), 1)
    noise = rng.fork("noise").normal(torch.empty(count, 2, dtype=torch.float64))
    return torch.where(label[:, None] == 0, upper, lower) + 0.08 * noise, label


def checkerboard(count: int, rng: Rng) -> tuple[Tensor, None]:
    """Uniform on the 8 dark squares of a 4×4 board over [−2, 2]²."""
    u = rng.uniform(count, 3)
    column = (u[:, 0] * 4).floor()
    row = 2 * (u[:, 1] * 2).floor() + column % 2
    inside = torch.stack((u[:, 0] * 4 - column, u[:, 2]), 1)
    return torch.stack((column, row), 1) + inside - 2, None


@dataclass(frozen=True)
class Mixture:
    """Weights (K,), means (K, 2) and one standard deviation for each component (K,) of the set `mixture`."""

    weights: Tensor
    means: Tensor
    stds: Tensor


def mixture_truth() -> Mixture:
    """The density of `mixture` in native units: Σ_k w_k N(x; m_k, s_k² I), 8 components on a circle of radius 1.4."""
    k = torch.arange(8, dtype=torch.float64)
    angle = 2 * math.pi * k / 8
    weights = (1 + k % 4) / (1 + k % 4).sum()
    return Mixture(weights, 1.4 * torch.stack((angle.cos(), angle.sin()), 1), 0.08 + 0.04 * (k % 2))


def mixture(count: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """A mixture of 8 Gaussians of unequal weights (`mixture_truth`); the label is the component."""
    truth = mixture_truth()
    label = torch.searchsorted(truth.weights.cumsum(0), rng.fork("label").uniform(count)).clamp_(max=7)
    noise = rng.fork("noise").normal(torch.empty(count, 2, dtype=torch.float64))
    return truth.means[label] + truth.stds[label, None] * noise, label


def sines(count: int, rng: Rng, length: int = 64) -> tuple[Tensor, Tensor]:
    """Signals a sin(2πft/64 + φ), f in {2, 3, 5} by label, a in [0.5, 1.5], with normal noise of 0.05: (count, 64)."""
    label = rng.fork("label").integers(count, 3)
    u = rng.fork("shape").uniform(count, 2)
    speed = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)[label]
    time = torch.arange(length, dtype=torch.float64) / length
    noise = rng.fork("noise").normal(torch.empty(count, length, dtype=torch.float64))
    wave = torch.sin(2 * math.pi * (speed[:, None] * time + u[:, 1:]))
    return (0.5 + u[:, :1]) * wave + 0.05 * noise, label


GLYPHS = {  # letters that are no mirror image or rotation of themselves or of one another
    "F": ("#####", "#....", "###..", "#....", "#...."),
    "G": (".####", "#....", "#..##", "#...#", ".####"),
    "J": ("..###", "...#.", "...#.", "#..#.", ".##.."),
    "P": ("####.", "#...#", "####.", "#....", "#...."),
    "R": ("####.", "#...#", "####.", "#..#.", "#...#"),
}


def glyphs(count: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Grey pictures (count, 16, 16) of asymmetric letters at 2× size, shifted by up to 2 pixels, of varying grey."""
    label = rng.fork("label").integers(count, len(GLYPHS))
    shift = (rng.fork("shift").uniform(count, 2) * 5).floor().to(torch.int64)
    ink = (160 + 95 * rng.fork("ink").uniform(count)).round()
    stamps = torch.tensor([[[c == "#" for c in row] for row in glyph] for glyph in GLYPHS.values()])
    stamps = stamps.to(torch.float64).repeat_interleave(2, 1).repeat_interleave(2, 2)[label] * ink[:, None, None]
    canvas = torch.zeros(count, 16, 16, dtype=torch.float64)
    rows = (1 + shift[:, 0])[:, None, None] + torch.arange(10)[None, :, None]
    columns = (1 + shift[:, 1])[:, None, None] + torch.arange(10)[None, None, :]
    canvas[torch.arange(count)[:, None, None], rows, columns] = stamps
    return canvas.to(torch.uint8), label


def blobs(count: int, rng: Rng) -> tuple[Tensor, None]:
    """Volumes (count, 8, 10, 12) of one Gaussian ball each, of radius 1.5 to 3, anywhere inside."""
    size = torch.tensor([8.0, 10.0, 12.0], dtype=torch.float64)
    u = rng.uniform(count, 4)
    center, radius = 1 + u[:, :3] * (size - 3), 1.5 + 1.5 * u[:, 3]
    axes = torch.meshgrid(*(torch.arange(int(n), dtype=torch.float64) for n in size), indexing="ij")
    square = sum((axis - center[:, i, None, None, None]) ** 2 for i, axis in enumerate(axes))
    return torch.exp(-torch.as_tensor(square) / (2 * radius[:, None, None, None] ** 2)), None


GENERATED: dict[str, tuple[Draw, int, str, tuple[str, ...]]] = {  # function, examples, layout, class names
    "swiss-roll": (swiss_roll, POINTS, "V", ()),
    "moons": (moons, POINTS, "V", ("upper", "lower")),
    "checkerboard": (checkerboard, POINTS, "V", ()),
    "mixture": (mixture, POINTS, "V", tuple("01234567")),
    "sines": (sines, PIECES, "L", ("slow", "medium", "fast")),
    "glyphs": (glyphs, PIECES, "HW", tuple(GLYPHS)),
    "blobs": (blobs, 500, "DHW", ()),
    "heartbeat": (heartbeat, 5000, "V", ()),
    "text": (text, 16_384, "L", ()),
}
BUILTIN = {
    "digits": "1,797 handwritten digits, 8×8 pixels of 17 grey levels, 10 classes",
    "swiss-roll": "20,000 points on a spiral in the plane",
    "moons": "20,000 points on two interleaved half circles, 2 classes",
    "checkerboard": "20,000 points on the dark squares of a 4×4 board",
    "mixture": "20,000 points from 8 Gaussians of known weights and means, 8 classes",
    "sines": "2,000 noisy sine waves of 64 values, 3 classes",
    "glyphs": "2,000 pictures, 16×16, of letters that are not their own mirror image, 5 classes",
    "blobs": "500 volumes, 8×10×12, of one ball each",
    "heartbeat": "5,000 rows of 20 bits, a one at every fifth place, in 5 phases",
    "text": "16,384 windows of 64 characters (28 different ones) of generated English-like text",
}


def draw(name: str, count: int, seed: int = 1) -> Tensor:
    """Fresh examples (count, …) of a generated set in native units and the file's layout; the set itself is seed 0."""
    if name not in GENERATED:
        raise unknown("generated data set", name, GENERATED)
    return GENERATED[name][0](count, Rng(seed).fork(name))[0]


def open_builtin(name: str, report: Report) -> Dataset:
    """The data set of that name. Points are float64 around the unit scale, glyphs bytes, digits levels 0 … 16."""
    if name == "digits":
        return _digits(report)
    if name not in GENERATED:
        raise unknown("built-in data set", name, BUILTIN)
    make, count, layout, classes = GENERATED[name]
    values, label = make(count, Rng(0).fork(name))
    native = values.numpy() if values.dtype in (torch.uint8, torch.bool) else values.numpy().astype(np.float32)
    format, mode = ("png", "L") if layout == "HW" else ("npz", "")
    extra = {"keys": ["x", "y"], **({"alphabet": ALPHABET} if name == "text" else {})}
    data = stored(native, report, format=format, name=name, layout=layout, mode=mode, extra=extra)
    if label is not None:
        attach(data, label.numpy(), name, classes)
    report.note("built in")
    return data


def _digits(report: Report) -> Dataset:
    table = _digits_table().astype(np.int64)
    native = table[:, :-1].reshape(-1, 8, 8).astype(np.uint8)
    data = stored(native, report, format="png", name="digits", layout="HW", mode="L", extra={"keys": ["x", "y"]})
    attach(data, table[:, -1], "digits", tuple("0123456789"))
    report.note("built in")
    return data


def _digits_table() -> np.ndarray:
    """64 levels and the label, a row for each digit: scikit-learn's file, for its import takes over a second."""
    found = importlib.util.find_spec("sklearn")
    folders = (found.submodule_search_locations if found else None) or []
    for file in (Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders):
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # wherever it keeps them

    return np.column_stack(load_digits(return_X_y=True))
