"""Statistics of native data in one pass, and the scale that follows from them.

For every channel: smallest, largest, mean and standard deviation, in float64 over chunks. The range decides the scale:
integers of an image depth (1, 8, 10, 12, 14, 16 bits) and known ranges are bounded; everything else is standardised.
What was recognised (12 bits in 16, bytes kept as floats, constant channels, heavy tails) is said in the notes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.core.errors import BAD_DATA, UserError
from reverie.data.base import Spec
from reverie.data.report import Report
from reverie.data.scale import DTYPES, Scale

DEPTHS = (1, 8, 10, 12, 14, 16)  # bits per value that cameras, scanners and files use
LARGEST = 1e30  # larger values would overflow when squared or in float32
EXACT = 2**24  # whole numbers that float32 keeps apart
FEW_LEVELS = 31  # bytes that never exceed this are levels (digits are 0..16), not a dark picture


@dataclass(frozen=True)
class Stats:
    """Per-channel moments of native values, and what grid they lie on."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    whole: bool  # every value is a whole number
    bytes01: bool  # every value is a multiple of 1/255 in [0, 1]
    count: int  # examples


def measure(chunks: Iterable[np.ndarray], *, where: str) -> Stats:
    """Moments over chunks (n, C, ...), channel by channel. Raises UserError for a value that is not finite."""
    low = high = total = squares = np.empty(0)
    shift: np.ndarray | None = None
    whole = bytes01 = True
    rows = numbers = 0
    for chunk in chunks:
        flat = _by_channel(chunk)
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            raise UserError(_missing(chunk, rows, where), code=BAD_DATA)
        if shift is None:
            shift = flat.mean(1, dtype=np.float64)
            total, squares = np.zeros(len(flat)), np.zeros(len(flat))
            low, high = np.full(len(flat), np.inf), np.full(len(flat), -np.inf)
        low, high = np.minimum(low, flat.min(1)), np.maximum(high, flat.max(1))
        if max(float(high.max()), -float(low.min())) > LARGEST:
            extreme = high.max() if high.max() > LARGEST else low.min()
            raise UserError(f"'{where}' reaches {extreme:g}; rescale it below {LARGEST:g} first", code=BAD_DATA)
        total += flat.sum(1, dtype=np.float64) - shift * flat.shape[1]
        squares += _squares(flat, shift)
        if flat.dtype.kind == "f":
            whole = whole and bool((flat == np.rint(flat)).all())
            bytes01 = bytes01 and bool(
                ((flat >= 0) & (flat <= 1)).all() and np.allclose(flat * 255, np.rint(flat * 255), atol=2e-3, rtol=0)
            )
        rows, numbers = rows + len(chunk), numbers + flat.shape[1]
    if shift is None or not numbers:
        raise UserError(f"'{where}' holds no values", code=BAD_DATA)
    offset = total / numbers
    std = np.sqrt(np.maximum(squares / numbers - offset**2, 0))
    return Stats(low, high, shift + offset, std, whole, bytes01, rows)


def _by_channel(chunk: np.ndarray) -> np.ndarray:
    """(n, C, ...) → (C, n·…), without a copy where there is one channel."""
    if chunk.ndim > 2 and chunk.shape[1] == 1:
        return chunk.reshape(1, -1)
    return np.ascontiguousarray(np.moveaxis(chunk, 1, 0)).reshape(chunk.shape[1], -1)


def _squares(flat: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Σ (v − shift)² per channel; 8- and 16-bit values are counted first, which is exact and needs no float copy."""
    if flat.dtype in (np.uint8, np.uint16):
        levels = np.arange(np.iinfo(flat.dtype).max + 1, dtype=np.float64)
        return np.array(
            [np.bincount(row, minlength=len(levels)) @ (levels - s) ** 2 for row, s in zip(flat, shift, strict=True)]
        )
    return np.array([np.square(row.astype(np.float64) - s).sum() for row, s in zip(flat, shift, strict=True)])


def _missing(chunk: np.ndarray, before: int, where: str) -> str:
    bad = ~np.isfinite(chunk.reshape(len(chunk), -1)).all(1)
    first = before + int(bad.argmax())
    what = "NaN" if np.isnan(chunk[bad.argmax()]).any() else "infinite values"
    return (
        f"'{where}' holds {what}, first in example {first} ({int(bad.sum())} of the {len(chunk)} examples from "
        f"{before} on are affected); remove or fill them first"
    )


def parse_bounds(bounds: str | tuple[float, float] | None) -> tuple[float, float] | None:
    """ "0,255" or (0, 255) → (0.0, 255.0); None or "" → None."""
    if not bounds:
        return None
    try:
        low, high = (float(v) for v in (bounds.split(",") if isinstance(bounds, str) else bounds))
    except ValueError:
        low = high = 0.0
    if not low < high or high - low == float("inf"):
        raise UserError(f"bounds must be two numbers LOW,HIGH with LOW below HIGH, not '{bounds}'")
    return low, high


def choose_scale(
    stats: Stats,
    dtype: str,
    report: Report,
    *,
    pictures: bool,
    bounds: tuple[float, float] | None = None,
    columns: Sequence[str] = (),
) -> Scale:
    """The scale that the measured range asks for; `bounds` (low, high) is the user's own word and comes first.

    `columns` are the channels' names, where they have any.
    """
    floats = dtype.startswith("float")
    low, high = float(stats.low.min()), float(stats.high.max())
    if bounds is not None:
        if low < bounds[0] or high > bounds[1]:
            raise UserError(
                f"the range {bounds[0]:g},{bounds[1]:g} was given, but the data reach from {low:g} to {high:g}"
            )
        bins = None if floats else round(bounds[1] - bounds[0]) + 1
        return Scale.bounded(*bounds, dtype, bins=bins)
    _say_constant(stats, columns, report)
    if dtype == "bool":
        return Scale.bounded(0, 1, dtype, bins=2)
    if dtype in ("uint8", "uint16") and low >= 0:
        return _depth(high, dtype, report, pictures)
    if floats and pictures:
        known = _known_floats(stats, low, high, dtype, report)
        if known is not None:
            return known
    _say_tails(stats, columns, report)
    bottom, top = (None, None) if floats else _limits(dtype)
    spread = np.where(stats.std > 0, stats.std, 1.0)
    if not floats and high - low >= EXACT:
        report.note("numbers are computed in 32 bits: integers of this range come back within 3 millionths of it")
    held = "not clipped" if floats else f"held within the limits of {dtype}"
    report.note(f"standardised per channel to unit variance; {held}")
    return Scale(tuple(map(float, stats.mean)), tuple(map(float, spread)), bottom, top, None, dtype)


def _limits(dtype: str) -> tuple[float, float]:
    limits = np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def _depth(high: float, dtype: str, report: Report, pictures: bool) -> Scale:
    """Unsigned integers: the smallest usual depth that holds the largest value."""
    full = int(np.iinfo(dtype).max)
    top = next(2**bits - 1 for bits in DEPTHS if 2**bits - 1 >= high)
    if dtype == "uint8" and 1 < high <= FEW_LEVELS:
        top = int(high)
    if not pictures and dtype == "uint16" and top < 255:
        top = 255
    if top != full:
        report.note(f"values reach {high:g} of {full}: read as {top + 1} levels from 0 to {top}")
    return Scale.bounded(0, top, dtype, bins=top + 1)


def _known_floats(stats: Stats, low: float, high: float, dtype: str, report: Report) -> Scale | None:
    """Floats that are bytes in disguise, or that end exactly at 0 and 1 or at −1 and 1."""
    if stats.whole and low >= 0 and 1 < high <= 255:
        report.note("raw 0–255 values kept as floats: read as 256 levels, and saved in the same units")
        return Scale.bounded(0, 255, dtype, bins=256)
    if stats.bytes01 and high > 1 / 255:
        report.note("bytes divided by 255: read as 256 levels from 0 to 1")
        return Scale.bounded(0, 1, dtype, bins=256)
    if (low, high) in ((0, 1), (-1, 1)):
        report.note(f"values end exactly at {low:g} and {high:g}: taken as the bounds")
        return Scale.bounded(low, high, dtype)
    return None


def _names(columns: Sequence[str], stats: Stats) -> Sequence[str]:
    """What channels are called: by their columns, or by number."""
    return columns if len(columns) == len(stats.mean) else [f"channel {c}" for c in range(len(stats.mean))]


def _say_constant(stats: Stats, columns: Sequence[str], report: Report) -> None:
    flat = np.flatnonzero(stats.low == stats.high)
    if len(flat):
        names = _names(columns, stats)
        named = ", ".join(f"{names[c]} (always {stats.low[c]:g})" for c in flat[:8])
        report.note(f"constant: {named}{' …' if len(flat) > 8 else ''}")


def _say_tails(stats: Stats, columns: Sequence[str], report: Report) -> None:
    spread = np.where(stats.std > 0, stats.std, 1.0)
    reach = np.maximum(stats.high - stats.mean, stats.mean - stats.low) / spread
    if reach.max() > 20:
        named = _names(columns, stats)[int(reach.argmax())]
        report.note(f"heavy tails: {named} reaches {reach.max():.0f} standard deviations")


def with_moments(spec: Spec, stats: Stats) -> Spec:
    """The spec with count, and with mean, spread and std of the encoded data (in model units)."""
    center, spread = np.array(spec.scale.center), np.array(spec.scale.spread)
    mean, std = (stats.mean - center) / spread, stats.std / spread
    overall = math.sqrt(float((std**2 + (mean - mean.mean()) ** 2).mean()))
    return replace(spec, count=stats.count, mean=tuple(mean.tolist()), spread=tuple(std.tolist()), std=overall)


def describe(stats: Stats, spec: Spec, report: Report) -> None:
    """Write range and per-channel statistics, native and in model units, into the report."""
    names = spec.columns if len(spec.columns) == len(stats.mean) else [str(i) for i in range(len(stats.mean))]
    report.facts["range"] = [float(stats.low.min()), float(stats.high.max())]
    report.facts["channels"] = [
        {"name": n, "min": float(a), "max": float(b), "mean": float(m), "std": float(s)}
        for n, a, b, m, s in zip(names, stats.low, stats.high, stats.mean, stats.std, strict=True)
    ]
    report.facts["std"] = spec.std


def refuse_constant(report: Report) -> None:
    """Raise UserError where no channel varies."""
    channels = report.facts.get("channels", [])
    if not channels or any(channel["min"] < channel["max"] for channel in channels):
        return
    values = {channel["min"] for channel in channels}
    what = f"every value is {values.pop():g}" if len(values) == 1 else "every channel is constant"
    raise UserError(f"'{report.path}': {what}; there is nothing to learn", code=BAD_DATA)


def check_dtype(dtype: np.dtype, where: str) -> str:
    """The name of a dtype that can be learnt from; UserError with the fix for the others."""
    if dtype.hasobject or dtype.kind in "OV":
        raise UserError(f"'{where}' holds Python objects, which are never unpickled; save it as numbers", code=BAD_DATA)
    if dtype.kind == "c":
        raise UserError(f"'{where}' is complex; save real and imaginary part as two channels", code=BAD_DATA)
    name = dtype.newbyteorder("=").name
    if name not in DTYPES:
        raise UserError(f"'{where}' has type {dtype}; allowed: {', '.join(DTYPES)}", code=BAD_DATA)
    return name
