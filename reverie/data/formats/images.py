"""Pictures, one file each, in a folder or an archive: read as they are, made alike only where they differ.

Two passes: all headers, from which one `Plan` for the set follows, then all pixels. Labels come from class folders or
from a table beside the pictures (`reverie.data.labelling`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from reverie.data.base import Dataset
from reverie.data.decode import Head, read_head, read_picture
from reverie.data.files import gather
from reverie.data.fitting import Plan, choose, parse_size
from reverie.data.limits import Unreadable
from reverie.data.progress import mapped
from reverie.data.report import Report
from reverie.data.sources import Item

WRITTEN = {"PNG": "png", "TIFF": "tiff"}  # what samples are written as; lossy formats would add errors of their own


def open_pictures(
    items: Sequence[Item],
    report: Report,
    *,
    name: str,
    size: str = "",
    mode: str = "",
    bounds: tuple[float, float] | None = None,
) -> tuple[Dataset, list[Item]]:
    """The pictures among these files and the items that are used, in order. Others go into the report."""
    good, heads = _headed(items, report)
    if not good:
        report.hold()
    plan, notes = choose(heads, size=parse_size(size), mode=mode)
    for note in notes:
        report.note(note)
    head_of = {item.name: head for item, head in zip(good, heads, strict=True)}
    details: dict[str, Any] = {"bounds": bounds, "mode": plan.mode, "layout": "HW" if len(plan.shape) == 2 else "HWC"}
    data, used = gather(
        good,
        _decoder(plan),
        report,
        shape=plan.shape,
        dtype=plan.dtype,
        format=_written(heads, plan),
        name=name,
        **details,
    )
    for item in used:
        _count(report, item.name, head_of[item.name])
    return data, used


def _decoder(plan: Plan) -> Any:
    return lambda item: plan.apply(read_picture(item.read()))


def _headed(items: Sequence[Item], report: Report) -> tuple[list[Item], list[Head]]:
    """Items whose header reads, and the headers; files with the same bytes are reported as duplicates."""

    def look(item: Item) -> tuple[Head | str, bytes]:
        try:
            data = item.read()
            return read_head(data), hashlib.blake2b(data, digest_size=16).digest()
        except Unreadable as reason:
            return str(reason), b""

    good: list[Item] = []
    heads: list[Head] = []
    same: dict[bytes, list[str]] = {}
    for item, (head, digest) in zip(items, mapped(look, items, "looking at pictures"), strict=True):
        if isinstance(head, str):
            report.refuse(item.name, head)
            continue
        good.append(item)
        heads.append(head)
        same.setdefault(digest, []).append(item.name)
    report.duplicates = [names for names in same.values() if len(names) > 1]
    return good, heads


def _count(report: Report, name: str, head: Head) -> None:
    report.formats[head.format] += 1
    report.modes[head.mode] += 1
    report.sizes[f"{head.size[1]}×{head.size[0]}"] += 1
    for note in head.notes:
        report.remark(note, name)


def _written(heads: Sequence[Head], plan: Plan) -> str:
    formats = {WRITTEN.get(head.format, "png") for head in heads}
    if plan.mode in ("I", "F", "CMYK"):
        return "tiff"  # PNG has none of these
    return "tiff" if formats == {"tiff"} else "png"
