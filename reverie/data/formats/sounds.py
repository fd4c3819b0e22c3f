"""Sounds: WAV files of PCM, one example each, by Python's own reader. 8 bits are unsigned, 16, 24 and 32 signed.

All must have one rate and number of channels. Where lengths differ, the first samples of each are used, as many as the
shortest has, which is said.
"""

from __future__ import annotations

import io
import wave
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.data.base import Dataset
from reverie.data.files import gather
from reverie.data.limits import Unreadable
from reverie.data.progress import mapped
from reverie.data.report import Report
from reverie.data.sources import Item

TYPES = {1: "uint8", 2: "int16", 3: "int32", 4: "int32"}


@dataclass(frozen=True)
class Head:
    """What the header of a WAV file says; `length` in frames."""

    channels: int
    width: int
    rate: int
    length: int


def read_head(data: bytes) -> Head:
    """Raises Unreadable with the reason."""
    return _opened(data)[0]


def _opened(data: bytes) -> tuple[Head, wave.Wave_read]:
    if not data:
        raise Unreadable("empty file (0 bytes)")
    try:
        file = wave.open(io.BytesIO(data))  # noqa: SIM115 (in memory)
        head = Head(file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes())
    except (wave.Error, EOFError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise Unreadable(f"no readable WAV file of PCM: {error or 'cut off'}") from error
    if head.width not in TYPES or not head.length or head.channels * head.width * head.length > len(data):
        raise Unreadable(f"damaged: {head.length} frames of {head.channels}×{head.width} bytes do not fit in the file")
    return head, file


def read_sound(data: bytes, length: int) -> np.ndarray:
    """The first `length` frames, (length,) or (length, channels). Raises Unreadable."""
    head, file = _opened(data)
    raw = file.readframes(length)
    if len(raw) < length * head.channels * head.width:
        raise Unreadable("damaged: the file ends before its sound")
    if head.width == 3:
        wide = np.zeros((length * head.channels, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        values = wide.view("<i4").reshape(-1) >> 8
    else:
        values = np.frombuffer(raw, np.dtype(TYPES[head.width]).newbyteorder("<"))
    values = values.astype(TYPES[head.width])
    return values if head.channels == 1 else values.reshape(-1, head.channels)


def open_sounds(
    items: Sequence[Item], report: Report, *, name: str, bounds: tuple[float, float] | None = None
) -> tuple[Dataset, list[Item]]:
    """The WAV files among these, and the items that are used. Others go into the report."""
    good, heads = _headed(items, report)
    if not good:
        report.hold()
    common = Counter((h.channels, h.width, h.rate) for h in heads).most_common(1)[0][0]
    alike = []
    for item, head in zip(good, heads, strict=True):
        if (head.channels, head.width, head.rate) == common:
            alike.append((item, head))
        else:
            what = f"{head.channels} channels of {8 * head.width} bits at {head.rate} Hz"
            report.refuse(item.name, f"{what}, unlike most files ({common[0]}, {8 * common[1]}, {common[2]})")
    lengths = [head.length for _, head in alike]
    length = min(lengths)
    if max(lengths) > length:
        report.note(f"lengths differ ({length} to {max(lengths)} samples): the first {length} of each are used")
    channels, width, rate = common
    data, used = gather(
        [item for item, _ in alike],
        lambda item: read_sound(item.read(), length),
        report,
        shape=(length,) if channels == 1 else (length, channels),
        dtype=np.dtype(TYPES[width]),
        format="wav",
        name=name,
        layout="L" if channels == 1 else "LC",
        bounds=bounds or ((-(2.0**23), 2.0**23 - 1) if width == 3 else None),
        rate=float(rate),
        extra={"width": width},
    )
    report.formats["WAV"] = len(used)
    report.sizes[f"{length} samples"] = len(used)
    report.facts["rate"] = rate
    return data, used


def _headed(items: Sequence[Item], report: Report) -> tuple[list[Item], list[Head]]:
    def look(item: Item) -> Head | str:
        try:
            return read_head(item.read())
        except Unreadable as reason:
            return str(reason)

    good: list[Item] = []
    heads: list[Head] = []
    for item, head in zip(items, mapped(look, items, "looking at sounds"), strict=True):
        if isinstance(head, str):
            report.refuse(item.name, head)
        else:
            good.append(item)
            heads.append(head)
    return good, heads
