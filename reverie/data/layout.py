"""What an array of examples is: its kind and the meaning of its axes, from shape, type and content.

Axes of one example in the file: V vector entries; L time; H W, D H W space; C channels, first, last or absent. Channels
are few beside the space they belong to. Rows of numbers are a signal if neighbours resemble each other, else a vector.
The user's `layout` ("CHW", "NHWC", "LC", …) comes before every guess.
"""

from __future__ import annotations

import numpy as np

from reverie.core.errors import UserError

LAYOUTS = {
    "V": "vector",
    "L": "signal",
    "CL": "signal",
    "LC": "signal",
    "HW": "image",
    "CHW": "image",
    "HWC": "image",
    "DHW": "volume",
    "CDHW": "volume",
    "DHWC": "volume",
}
MANY_CHANNELS = 16
SHORTEST_SIGNAL = 16


def layout_of(shape: tuple[int, ...], dtype: np.dtype, sample: np.ndarray, given: str = "") -> tuple[str, str]:
    """(kind, layout) of examples of this shape; `sample` is a handful of them.

    >>> layout_of((32, 32, 3), np.dtype("u1"), np.zeros((1, 32, 32, 3)))
    ('image', 'HWC')
    >>> layout_of((2, 256), np.dtype("i2"), np.zeros((1, 2, 256)))
    ('signal', 'CL')
    """
    if given:
        layout = given.upper().removeprefix("N")
        if layout not in LAYOUTS or len(layout) != max(len(shape), 1):
            fitting = [name for name in LAYOUTS if len(name) == max(len(shape), 1)]
            raise UserError(f"layout '{given}' does not fit examples of shape {shape}; allowed: {', '.join(fitting)}")
        kind = LAYOUTS[layout]
        return ("points" if kind == "vector" and shape == (2,) else kind), layout
    if len(shape) <= 1:
        return _row(shape, sample)
    layout = {2: _two, 3: _three, 4: _four}.get(len(shape), _too_many)(shape, dtype)
    return LAYOUTS[layout], layout


def _row(shape: tuple[int, ...], sample: np.ndarray) -> tuple[str, str]:
    length = shape[0] if shape else 1
    if length == 2:
        return "points", "V"
    if length >= SHORTEST_SIGNAL and is_smooth(sample):
        return "signal", "L"
    return "vector", "V"


def is_smooth(rows: np.ndarray) -> bool:
    """Whether neighbouring columns resemble each other: mean square step below half that of shuffled columns.

    For columns of one common scale, E(xᵢ₊₁ − xᵢ)² = 2(1 − ρ)·var, so half means a neighbour correlation ρ > ½.
    """
    with np.errstate(all="ignore"):  # what is not finite is refused later, with its place
        rows = rows.reshape(len(rows), -1).astype(np.float64)
        steps = np.square(np.diff(rows, axis=1)).mean()
        spread = rows.var()
    return bool(spread > 0 and steps < spread)


def _two(shape: tuple[int, ...], dtype: np.dtype) -> str:
    first, last = shape
    if dtype == np.uint8 or dtype == np.bool_:
        return "HW"
    if first <= MANY_CHANNELS and last >= 8 * first:
        return "CL"
    if last <= MANY_CHANNELS and first >= 8 * last:
        return "LC"
    return "HW"


def _three(shape: tuple[int, ...], dtype: np.dtype) -> str:
    first, middle, last = shape
    if last <= 4 and min(first, middle) > last:
        return "HWC"
    if first <= 4 and min(middle, last) > first:
        return "CHW"
    if last <= MANY_CHANNELS and min(first, middle) >= 2 * last:
        return "HWC"
    if first <= MANY_CHANNELS and min(middle, last) >= 2 * first:
        return "CHW"
    return "HWC" if last <= 4 else "CHW" if first <= 4 else "DHW"


def _four(shape: tuple[int, ...], dtype: np.dtype) -> str:
    return "DHWC" if shape[-1] < shape[0] else "CDHW"


def _too_many(shape: tuple[int, ...], dtype: np.dtype) -> str:
    raise UserError(
        f"examples of shape {shape} have more than three dimensions of space; at most (C, D, H, W) is allowed"
    )


def model_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape of one example in model form, channels first."""
    if layout == "V":
        return shape or (1,)
    if "C" not in layout:
        return (1, *shape)
    return shape if layout[0] == "C" else (shape[-1], *shape[:-1])


def to_model(native: np.ndarray, layout: str) -> np.ndarray:
    """Examples (n, …) in the file's layout → (n, C, …), as a view."""
    if layout == "V":
        return native.reshape(len(native), -1)
    if "C" not in layout:
        return native[:, None]
    return native if layout[0] == "C" else np.moveaxis(native, -1, 1)


def from_model(native: np.ndarray, layout: str) -> np.ndarray:
    """The inverse of `to_model` (up to the shape () of single numbers)."""
    if layout == "V":
        return native
    if "C" not in layout:
        return native[:, 0]
    return native if layout[0] == "C" else np.moveaxis(native, 1, -1)
