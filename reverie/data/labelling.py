"""Labels and conditions of examples that are one file each: from a table or side files beside them, else from folders.

A table is used if one of its columns names the files; at most a tenth of them may lack a row. In the webdataset layout
the files of one example share a stem: 0001.png, 0001.cls (its class), 0001.json (its values). Of folders, a part of the
path that all files share says nothing; folders called train and test (or val) are the official parts; the first level
that is left is the class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from reverie.core.errors import UserError, unknown
from reverie.data.base import Dataset, named_labels
from reverie.data.formats.arrays import LABELS, attach, attach_conditions
from reverie.data.formats.text import Table, column, decode_text, parse_lines, parse_table
from reverie.data.limits import MIB, Unreadable
from reverie.data.report import TOLERATED, Report
from reverie.data.sources import Item

TRAIN = {"train", "training", "train_images", "trainset"}
TEST = {"test", "testing", "val", "valid", "validation", "test_images", "testset"}
BESIDE = ("csv", "tsv", "jsonl", "ndjson")
LARGEST = 64 * MIB  # of a table beside the files
PACKED = (".zip", ".tar", ".tgz", ".gz")


@dataclass(frozen=True)
class Side:
    """What is known of files by name: a table, the row of each file, and the columns that were asked for."""

    table: Table | None = None
    row: Mapping[str, int] = field(default_factory=dict)
    label: str = ""
    condition: tuple[str, ...] = ()
    where: str = ""


def side_of(data: Sequence[Item], others: Sequence[Item], report: Report, label: str, condition: Sequence[str]) -> Side:
    """The table that describes the files `data`, of those among `others`; an empty `Side` if there is none.

    Raises UserError if a label or condition was asked for and no table has such a column.
    """
    names = {item.name for item in data}
    best = Side()
    for where, table, row in (*_tables(data, others, report), *_side_files(data, others)):
        known = len(row.keys() & names)
        if known < (1 - TOLERATED) * len(names):
            report.note(f"{where} names {known} of {len(names)} files: not used")
        elif not best.row or label in table.names or set(condition) & set(table.names):
            best = Side(table, row, _label_column(table, label, condition), tuple(condition), where)
    if best.table is not None and not best.label and not condition:
        _say_unused(best, report)
    for wanted in (*condition, *([label] if label else [])):
        if best.table is None:
            raise UserError(f"column '{wanted}' was asked for, but '{report.path}' has no table that names its files")
        if wanted not in best.table.names:
            raise unknown("column", wanted, best.table.names)
    return best


def _say_unused(side: Side, report: Report) -> None:
    """Name the columns that could be labels or conditions, where none is one."""
    assert side.table is not None
    names = [c.name for c in side.table.columns if c.is_number or len(set(c.values.tolist())) < len(c.values)]
    if names:
        report.note(f"{side.where} has {', '.join(names)}: not used (--label takes one, --condition takes numbers)")


def _tables(data: Sequence[Item], others: Sequence[Item], report: Report) -> list[tuple[str, Table, dict[str, int]]]:
    """Tables that name files, and the row of each file."""
    keys = _keys(data)
    found = []
    for item in others:
        if item.suffix not in BESIDE or item.size > LARGEST:
            continue
        try:
            text = decode_text(item.read(), item.name)
            table = parse_lines(text, item.name) if "json" in item.suffix else parse_table(text, item.name)
        except (UserError, Unreadable) as error:
            report.note(f"{item.name} is not used: {error}")
            continue
        folder = item.name.rpartition("/")[0]
        row, gone = _matched(table, keys, folder)
        if row:
            found.append((item.name, table, row))
            if gone:
                more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
                report.note(f"{item.name} names {len(gone)} that are not there: {', '.join(gone[:3])}{more}")
    return found


def _keys(data: Sequence[Item]) -> dict[str, str]:
    """Ways to name a file → its name: the path, and the base name and stem where these are unique."""
    keys: dict[str, str] = {}
    for short in (lambda n: n.rpartition("/")[2].rsplit(".", 1)[0], lambda n: n.rpartition("/")[2], lambda n: n):
        seen: dict[str, list[str]] = {}
        for item in data:
            seen.setdefault(short(item.name), []).append(item.name)
        keys |= {key: names[0] for key, names in seen.items() if len(names) == 1}
    return keys


def _matched(table: Table, keys: Mapping[str, str], folder: str) -> tuple[dict[str, int], list[str]]:
    """(row by file, names without a file) of the column that names the most files; ({}, []) if none does."""
    best: tuple[dict[str, int], list[str]] = ({}, [])
    for candidate in table.columns:
        row: dict[str, int] = {}
        gone: list[str] = []
        for i, value in enumerate(map(str, candidate.values.tolist())):
            value = value.replace("\\", "/").removeprefix("./")
            name = keys.get(f"{folder}/{value}" if folder else value) or keys.get(value)
            if name is None:
                gone.append(value)
            else:
                row.setdefault(name, i)
        if len(row) > len(best[0]):
            best = (row, gone)
    return best


def _side_files(data: Sequence[Item], others: Sequence[Item]) -> list[tuple[str, Table, dict[str, int]]]:
    """The `.cls` and `.json` files of the webdataset layout as one table."""
    by_stem: dict[str, dict[str, Item]] = {}
    for item in others:
        if item.suffix in ("cls", "json"):
            by_stem.setdefault(_stem(item.name), {})[item.suffix] = item
    if not by_stem:
        return []
    entries: list[dict[str, object]] = []
    row: dict[str, int] = {}
    for item in data:
        beside = by_stem.get(_stem(item.name))
        if beside:
            row[item.name] = len(entries)
            entries.append(_entry(beside))
    if not entries:
        return []
    text = [{name: json.dumps(v) if not isinstance(v, str) else v for name, v in e.items()} for e in entries]
    names = list(dict.fromkeys(name for entry in text for name in entry))
    columns = tuple(column(name, [entry.get(name, "") for entry in text]) for name in names)
    return [("the files beside them (.cls, .json)", Table(columns), row)]


def _stem(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.split(".", 1)[0]


def _entry(beside: Mapping[str, Item]) -> dict[str, object]:
    """The values of one example; what cannot be read is missing."""
    entry: dict[str, object] = {}
    try:
        if "json" in beside:
            loaded = json.loads(beside["json"].read())
            if isinstance(loaded, dict):
                entry |= {str(k): v for k, v in loaded.items() if isinstance(v, (int, float, str))}
        if "cls" in beside:
            entry["cls"] = beside["cls"].read().decode("utf-8", "replace").strip()
    except (Unreadable, ValueError, RecursionError):
        pass
    return entry


def _label_column(table: Table, label: str, condition: Sequence[str]) -> str:
    names = [name for name in table.names if name not in condition]
    return label or next((name for name in names if name.lower() in (*LABELS, "cls", "category")), "")


def covered(items: Sequence[Item], side: Side, report: Report) -> list[Item]:
    """The files that have a row with all values that are needed; the others go into the report."""
    if side.table is None or not (side.label or side.condition):
        return list(items)
    kept = []
    wanted = [side.table[name] for name in (*side.condition, *([side.label] if side.label else []))]
    for item in items:
        row = side.row.get(item.name)
        if row is None:
            report.refuse(item.name, f"has no row in {side.where}")
        elif any(c.missing[row] for c in wanted):
            report.refuse(item.name, f"'{next(c.name for c in wanted if c.missing[row])}' is missing in {side.where}")
        else:
            kept.append(item)
    return kept


def label_by_side(data: Dataset, names: Sequence[str], side: Side) -> None:
    """Labels and conditions of example i, the file names[i], from the table; labels from folders if it has none."""
    if side.table is None or not (side.label or side.condition):
        label_by_folder(data, names)
        return
    rows = np.array([side.row[name] for name in names])
    if side.label:
        attach(data, side.table[side.label].values[rows], f"{side.where}, column '{side.label}'")
        data.spec = replace(data.spec, extra=data.spec.extra | {"labels": "folders", "label": side.label})
        data.report.note(f"labels from {side.where}, column '{side.label}'")
    else:
        label_by_folder(data, names)
    if side.condition:
        attach_conditions(data, {name: side.table[name].values[rows] for name in side.condition})


def label_by_folder(data: Dataset, names: Sequence[str]) -> None:
    """Give the dataset, whose example i is the file names[i], the labels and the test part that its folders say."""
    folders = [[part for part in name.split("/")[:-1] if not part.lower().endswith(PACKED)] for name in names]
    folders = _without_shared(folders)
    parts = {f[0].lower() for f in folders if f}
    if all(folders) and len(parts) > 1 and parts <= TRAIN | TEST and parts & TRAIN:
        held = torch.tensor([f[0].lower() in TEST for f in folders])
        data.held = held
        data.report.note(f"official test part: {int(held.sum())} of {len(held)} examples are held out")
        folders = _without_shared([f[1:] for f in folders])
    if not any(folders):
        return
    if not all(folders):
        data.report.note("files lie both beside and in sub-folders: no labels are taken from the folders")
        return
    classes = [f[0] for f in folders]
    if len(set(classes)) == len(classes) > 1:
        data.report.note("every sub-folder holds a single example: no labels are taken from the folders")
        return
    data.label, names_of = named_labels(classes)
    data.spec = replace(data.spec, classes=names_of, extra=data.spec.extra | {"labels": "folders"})
    counts = torch.bincount(data.label, minlength=len(names_of)).tolist()
    data.report.labels = dict(zip(names_of, counts, strict=True))


def leave_out_labels(data: Dataset) -> None:
    """Make the dataset one without labels; its form remembers which column of a table they were."""
    if data.spec.classes:
        data.report.note(f"labels of {len(data.spec.classes)} classes are left out, as asked")
    data.label, data.report.labels = None, {}
    data.spec = replace(data.spec, classes=())


def _without_shared(folders: list[list[str]]) -> list[list[str]]:
    """Without the leading folders that all files have in common."""
    while folders and all(folders) and len({f[0] for f in folders}) == 1:
        folders = [f[1:] for f in folders]
    return folders
