"""One door to all data: a built-in name, or a path whose content decides how it is read.

Nothing is asked for and nothing changed silently: what was found, used, skipped and done is in the dataset's report.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reverie.core.errors import BAD_DATA, UserError, unknown
from reverie.data.advice import advise
from reverie.data.archives import archive_items
from reverie.data.base import Dataset
from reverie.data.builtin import BUILTIN, open_builtin
from reverie.data.fitting import parse_size
from reverie.data.formats.arrays import open_npy, open_npz
from reverie.data.formats.binary import cifar_files, is_idx, open_cifar, open_idx, pairs
from reverie.data.formats.hub import is_saved_dataset, open_dataset, open_saved
from reverie.data.formats.images import open_pictures
from reverie.data.formats.parquet import open_parquet
from reverie.data.formats.pieces import open_pieces
from reverie.data.formats.sounds import open_sounds
from reverie.data.formats.tables import names_files, open_series, open_table
from reverie.data.formats.text import is_series
from reverie.data.labelling import covered, label_by_side, leave_out_labels, side_of
from reverie.data.limits import Unreadable, open_regular, start_unpacked
from reverie.data.measure import parse_bounds, refuse_constant
from reverie.data.report import Report
from reverie.data.sources import ARRAYS, PICTURES, SOUNDS, Item, folder_items, is_picture, start_of

ARCHIVES = {"zip", "tar", "tgz"}
SINGLE = {"npz", "csv", "tsv", "jsonl", "ndjson", "ts", "parquet", "txt"}  # a folder may hold one of these alone
SHEETS = ("sheet.png", "sample.json", "trajectory.png", "trajectory.gif")
NO_LABELS = "none"  # asked for as a label: leave them out
LABEL_FILES = ("labels", "label", "y", "targets")


@dataclass(frozen=True)
class Options:
    """What the user said about the data; empty entries are found out."""

    label: str = ""
    condition: tuple[str, ...] = ()
    size: str = ""
    mode: str = ""
    layout: str = ""
    bounds: tuple[float, float] | None = None
    constant: bool = False  # whether data that never vary will do


def open_data(
    source: Any,
    *,
    label: str = "",
    condition: str | Sequence[str] = (),
    size: str = "",
    mode: str = "",
    layout: str = "",
    bounds: str | tuple[float, float] | None = None,
    constant: bool = False,
) -> Dataset:
    """The data set of a built-in name (`BUILTIN`), at a path, or of a Hugging Face `Dataset` object.

    `label` names the column or array of labels ("none": leave them out), `condition` those of numeric conditions.
    `size` ("64", "48x64") and `mode` ("L", "LA", "RGB", "RGBA") change pictures; `layout` ("CHW", "HWC", "CL", …) and
    `bounds` ("LOW,HIGH") overrule what is found out about arrays. Data that never vary teach nothing and are refused,
    but for `constant`, which is for data to be scored. Raises UserError if nothing can be used.
    """
    options = Options(label, _listed(condition), str(size or ""), mode, layout, parse_bounds(bounds), constant)
    return open_reported(source, Report(source if isinstance(source, str) else f"{source!s:.200}"), options)


def open_reported(source: Any, report: Report, options: Options) -> Dataset:
    """`open_data` with a report that the caller keeps, also where nothing could be opened."""
    if options.label == NO_LABELS:
        data = open_reported(source, report, replace(options, label=""))
        leave_out_labels(data)
        return data
    if not isinstance(source, (str, os.PathLike)):
        report.path = "the data set"
        data = open_dataset(source, report, label=options.label, condition=options.condition, size=options.size)
        refuse_constant(report)
        return data
    name = os.fspath(source)
    path = Path(name)
    if name in BUILTIN:
        data = open_builtin(name, report)
    elif not name or "\0" in name or not os.path.lexists(path):
        raise _nothing_there(name)
    else:
        data = _folder(path, report, options) if path.is_dir() else _file(path, report, options)
    data.report.hold()
    _hold_to(options, data)
    if not options.constant:
        refuse_constant(data.report)
    return data


def _hold_to(options: Options, data: Dataset) -> None:
    """Raise UserError if something was asked for that this kind of data does not have: nothing is ignored silently."""
    spec, size = data.spec, parse_size(options.size)
    what = f"'{data.report.path}' ({spec.format})"
    if options.condition and not spec.conditions:
        raise UserError(f"condition '{options.condition[0]}' was asked for, but {what} has no columns to take it from")
    if options.label and spec.extra.get("label", spec.extra.get("keys", ["", ""])[-1]) != options.label:
        raise UserError(f"label '{options.label}' was asked for, but {what} has no columns to take it from")
    if (size and spec.shape[1:] != size) or (
        options.mode and spec.mode.split(";")[0].replace("I", "L") != options.mode
    ):
        raise UserError(f"size and mode change pictures that are files; {what} is read as it is")
    if options.layout and spec.layout != options.layout.upper().removeprefix("N"):
        raise UserError(f"the layout of {what} is {spec.layout}, not '{options.layout}'")
    if options.bounds and (spec.scale.low, spec.scale.high) != options.bounds:
        raise UserError(f"the range of {what} is its own; bounds cannot change it")


def _listed(condition: str | Sequence[str]) -> tuple[str, ...]:
    parts = condition.split(",") if isinstance(condition, str) else list(condition or ())
    return tuple(part.strip() for part in parts if part.strip())


def _nothing_there(name: str) -> UserError:
    """The error for a name that is neither built in nor a path, with the nearest of both."""
    path = Path(name)
    try:
        beside = [entry.name for entry in os.scandir(path.parent)]
    except (OSError, ValueError):
        beside = []
    near = difflib.get_close_matches(path.name, [*beside, *BUILTIN] if os.sep not in name else beside, n=1)
    if os.sep in name or "." in name or (near and near[0] not in BUILTIN):
        hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
        return UserError(f"'{name}' does not exist{hint}")
    return unknown("data set", name, BUILTIN)


def _file(path: Path, report: Report, options: Options) -> Dataset:
    start = _start(path)
    condition, label = options.condition, options.label
    layout, bounds = options.layout, options.bounds
    if start.startswith(b"\x93NUMPY"):
        return open_npy(path, report, condition=condition, layout=layout, bounds=bounds)
    if start.startswith(b"PK") and path.suffix == ".npz":
        return open_npz(path, report, condition=condition, label=label, layout=layout, bounds=bounds)
    if is_idx(start):
        return open_idx(path, report, layout=layout, bounds=bounds)
    if cifar_files(path):
        return open_cifar(path, report)
    if start.startswith(b"PK") or start[257:262] == b"ustar":
        return _examples(archive_items(path, report), report, path.name.split(".")[0], options)
    if start.startswith(b"PAR1"):
        return open_parquet(path, report, label=label, condition=condition, size=options.size, mode=options.mode)
    if is_series(start):
        return open_series(path, report, bounds=bounds)
    advise(path, start)
    if names_files(path, start):
        return _folder(path.parent, Report(str(path.parent)), options)
    return open_table(path, report, label=label, condition=condition, bounds=bounds, layout=layout)


def _start(path: Path) -> bytes:
    """The first bytes of a regular file, unpacked if it is gzipped. Raises UserError for anything else."""
    try:
        with open_regular(path) as file:
            start = file.read(4096)
        start = start_unpacked(path) if start[:2] == b"\x1f\x8b" else start
    except (Unreadable, OSError) as reason:
        raise UserError(f"'{path}': {reason}", code=BAD_DATA) from reason
    if not start:
        raise UserError(f"'{path}' is empty (0 bytes)", code=BAD_DATA)
    return start


def _folder(path: Path, report: Report, options: Options) -> Dataset:
    try:
        os.listdir(path)
    except OSError as error:
        raise UserError(f"folder '{path}' cannot be read: {error.strerror}", code=BAD_DATA) from error
    if pairs(path):
        return open_idx(path, report, layout=options.layout, bounds=options.bounds)
    if cifar_files(path):
        return open_cifar(path, report)
    if is_saved_dataset(path):
        return open_saved(path, report, label=options.label, condition=options.condition, size=options.size)
    items = _without_sheets(folder_items(path, report), report)
    single = _single(path, items)
    if single:
        data = _file(single, Report(str(single)), options)
        data.report.note(f"'{single.name}' is the only data in the folder")
        return data
    return _examples(_unpacked(path, items, report), report, path.resolve().name, options)


def _without_sheets(items: Sequence[Item], report: Report) -> list[Item]:
    """The items without what 'reverie sample' puts beside its samples: these are pictures of the data, not data."""
    parts = [item.name.rpartition("/") for item in items]
    made = {folder for folder, _, name in parts if name == "sample.json"}
    sheets = {item for item, (folder, _, name) in zip(items, parts, strict=True) if folder in made and name in SHEETS}
    for item in items:
        if item in sheets:
            report.ignore(item.name, "made by reverie sample beside the samples")
    return [item for item in items if item not in sheets]


def _single(path: Path, items: Sequence[Item]) -> Path | None:
    """The one file that is a data set by itself, in a folder without examples that are files of their own."""
    if any(item.suffix in PICTURES | SOUNDS | ARCHIVES for item in items):
        return None
    named = [item.name for item in items if item.name.removesuffix(".gz").rpartition(".")[2].lower() in SINGLE]
    arrays = [
        i.name for i in items if i.suffix in ARRAYS and not i.name.rsplit(".", 1)[0].lower().endswith(LABEL_FILES)
    ]
    train = [name for name in named if "_TRAIN." in name and name.replace("_TRAIN.", "_TEST.") in named]
    if len(arrays) == 1:
        return path / arrays[0]
    if arrays or any(is_picture(start_of(item)) for item in items):
        return None
    if len(named) > 1 and len(train) != 1:
        raise UserError(f"'{path}' holds several data sets ({', '.join(named[:5])}); name one of them", code=BAD_DATA)
    return path / (train or named)[0] if named else None


def _unpacked(path: Path, items: Sequence[Item], report: Report) -> list[Item]:
    """The items, and those in the archives among them where there is nothing else."""
    if any(item.suffix in PICTURES | SOUNDS | ARRAYS for item in items):
        return list(items)
    inside: list[Item] = []
    for item in items:
        if item.suffix in ARCHIVES or item.name.endswith(".tar.gz"):
            report.found -= 1
            inside += archive_items(path / item.name, report, f"{item.name}/")
        else:
            inside.append(item)
    return inside


def _examples(items: Sequence[Item], report: Report, name: str, options: Options) -> Dataset:
    """Examples that are one file each: pictures, else sounds, else arrays."""
    kind, mine, others = _sorted(items)
    side = side_of(mine, others, report, options.label, options.condition)
    for item in others:
        report.ignore(item.name, _not_data(item, side.where, kind))
    good = covered(mine, side, report)
    if kind == "sound":
        data, used = open_sounds(good, report, name=name, bounds=options.bounds)
    elif kind == "array":
        data, used = open_pieces(good, report, name=name, layout=options.layout, bounds=options.bounds)
    else:
        data, used = open_pictures(good, report, name=name, size=options.size, mode=options.mode, bounds=options.bounds)
    data.names = [item.name for item in used]
    _say_barren(data.names, report)
    label_by_side(data, data.names, side)
    return data


def _say_barren(used: Sequence[str], report: Report) -> None:
    """Name the folders from which nothing is used: an empty class is worth knowing."""
    fruitful = {name.rpartition("/")[0] for name in used}
    fruitful |= {"/".join(folder.split("/")[:k]) for folder in fruitful for k in range(1, folder.count("/") + 1)}
    reached = {name.rpartition("/")[0] for name, reason in report.ignored if "resource fork" not in reason}
    reached |= {name.rpartition("/")[0] for name, _ in report.unreadable}
    barren = sorted(folder for folder in reached - fruitful if folder)
    if barren:
        report.note(f"nothing is used from the folder{'s' if len(barren) > 1 else ''} {', '.join(barren[:5])}")


def _sorted(items: Sequence[Item]) -> tuple[str, list[Item], list[Item]]:
    """(what the examples are, the files that are examples, the others)."""
    for kind, suffixes in (("picture", PICTURES), ("sound", SOUNDS), ("array", ARRAYS)):
        mine = [item for item in items if item.suffix in suffixes or (kind == "picture" and _is_nameless(item))]
        if mine:
            chosen = set(mine)
            return kind, mine, [item for item in items if item not in chosen]
    return "picture", [], list(items)


def _is_nameless(item: Item) -> bool:
    """Whether a file without a suffix that says what it is begins like a picture."""
    return item.suffix not in SOUNDS | ARRAYS | SINGLE | ARCHIVES and is_picture(start_of(item))


def _not_data(item: Item, table: str, kind: str) -> str:
    if item.name == table:
        return "the table that describes them"
    if item.suffix == "svg":
        return "a vector drawing (SVG); draw it to pixels first"
    if item.suffix in ("txt", "caption"):
        return "text; captions are not used"
    if item.suffix in ("cls", "json", "csv", "tsv", "jsonl"):
        return f"no {kind}, but a table" if item.suffix not in ("cls", "json") else "a side file of labels or values"
    return f"no {kind}: .{item.suffix} file" if item.suffix else f"no {kind} by its content"
