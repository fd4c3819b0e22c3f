"""Hugging Face data sets: `Dataset` objects, and folders that `save_to_disk` made (needs the package `datasets`).

The features say what is what: an Image column is the pictures, a ClassLabel column the labels with their names, numbers
are a table, and arrays of one shape are arrays. A split called test or validation is the official test part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.core.errors import BAD_DATA, UserError, unknown
from reverie.data.base import Dataset
from reverie.data.formats.arrays import LABELS, attach, attach_conditions
from reverie.data.formats.images import open_pictures
from reverie.data.formats.tables import from_table
from reverie.data.formats.text import Column, Table
from reverie.data.limits import Unreadable, read_regular
from reverie.data.report import Report
from reverie.data.sources import Item
from reverie.data.stored import stored

TESTS = ("test", "validation", "valid", "val")


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder was made by `save_to_disk`."""
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def open_saved(folder: Path, report: Report, **options: Any) -> Dataset:
    """A folder that `datasets.Dataset.save_to_disk` made."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"'{folder}' is a saved Hugging Face data set; reading it needs: pip install datasets"
        ) from None
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # the package raises whatever it likes on damaged folders
        raise UserError(f"'{folder}' cannot be read: {str(error).splitlines()[0]:.160}", code=BAD_DATA) from error
    return open_dataset(loaded, report, **options)


def open_dataset(
    source: Any, report: Report, *, label: str = "", condition: Sequence[str] = (), size: str = ""
) -> Dataset:
    """A `datasets.Dataset`, or a `DatasetDict` of a train and perhaps a test split."""
    if hasattr(source, "keys") and not hasattr(source, "features"):
        return _splits(source, report, label=label, condition=condition, size=size)
    if not all(hasattr(source, name) for name in ("features", "column_names", "__getitem__", "__len__")):
        raise UserError(f"data must be a path, a built-in name or a Hugging Face Dataset, not {type(source).__name__}")
    for wanted in (*condition, *([label] if label else [])):
        if wanted not in source.column_names:
            raise unknown("column", wanted, source.column_names)
    report.found = len(source)
    picture = next((n for n in source.column_names if _kind(source, n) == "Image"), "")
    label = label or _label_column(source, condition, whole=bool(picture))
    if picture:
        data, rows = _pictures(source, picture, report, size)
    else:
        return _numbers(source, report, label=label, condition=condition)
    if label:
        attach(data, np.asarray(source[label][:])[rows], f"column '{label}'", _class_names(source, label))
        data.spec = replace(data.spec, extra=data.spec.extra | {"labels": "folders", "label": label})
    if condition:
        attach_conditions(data, {name: np.asarray(source[name][:], np.float64)[rows] for name in condition})
    return data


def _kind(source: Any, name: str) -> str:
    return type(source.features[name]).__name__


def _class_names(source: Any, label: str) -> Sequence[str]:
    return list(getattr(source.features[label], "names", None) or ())


def _label_column(source: Any, condition: Sequence[str], *, whole: bool) -> str:
    names = [n for n in source.column_names if n not in condition]
    classed = next((n for n in names if _kind(source, n) == "ClassLabel"), "")
    return classed or (next((n for n in names if n.lower() in LABELS), "") if whole else "")


def _splits(source: Any, report: Report, *, label: str, condition: Sequence[str], size: str) -> Dataset:
    """One dataset of all splits, the test split held out; a train split must be there if there are several."""
    train = next((n for n in source if n.lower() in ("train", "training")), "")
    test = next((n for t in TESTS for n in source if n.lower() == t), "")
    if not train and len(source) > 1:
        raise UserError(f"the data set has the splits {', '.join(source)} and no 'train'; name one of them, data['…']")
    if not train or not test:
        only = train or next(iter(source))
        return open_dataset(source[only], report, label=label, condition=condition, size=size)
    from datasets import concatenate_datasets  # there, since the object is

    both = concatenate_datasets([source[train], source[test]])
    data = open_dataset(both, report, label=label, condition=condition, size=size)
    if len(data) == len(both):
        data.held = torch.arange(len(both)) >= len(source[train])
        report.note(f"official test part: split '{test}', {len(source[test])} examples, is held out")
    return data


def _pictures(source: Any, name: str, report: Report, size: str) -> tuple[Dataset, list[int]]:
    """The pictures of a column, as the files that they were; and the rows that are used."""
    raw = source.cast_column(name, type(source.features[name])(decode=False))
    items = [Item(f"row {i:09d}", 0, _reader(raw, name, i)) for i in range(len(raw))]
    data, used = open_pictures(items, report, name="pictures", size=size)
    data.names = [item.name for item in used]
    return data, [int(item.name.split()[1]) for item in used]


def _reader(raw: Any, name: str, i: int) -> Any:
    def read() -> bytes:
        entry = raw[i][name]
        if not entry:
            raise Unreadable("the picture is missing")
        return entry["bytes"] or read_regular(entry["path"])

    return read


def _numbers(source: Any, report: Report, *, label: str, condition: Sequence[str]) -> Dataset:
    """Columns of numbers as a table, or the one column of arrays."""
    arrays = [n for n in source.column_names if n not in (label, *condition) and _is_array(source, n)]
    if arrays:
        return _arrays(source, arrays[0], report, label, condition)
    report.found = 0
    columns = tuple(_column(source, name) for name in source.column_names)
    data = from_table(Table(columns), report, format="csv", name="table", label=label, condition=condition)
    names = _class_names(source, label) if label else ()
    if names:
        attach(data, np.asarray(source[label][:]), f"column '{label}'", names)
    return data


def _is_array(source: Any, name: str) -> bool:
    return len(source) > 0 and isinstance(source[0][name], (list, np.ndarray))


def _arrays(source: Any, name: str, report: Report, label: str, condition: Sequence[str]) -> Dataset:
    try:
        native = np.asarray(source[name][:])
        if native.dtype == object:
            raise ValueError("their shapes differ")
    except ValueError as error:
        raise UserError(f"column '{name}' is no array of one shape: {error}", code=BAD_DATA) from error
    report.found = 0
    if native.dtype == np.float64:
        native = native.astype(np.float32)
    data = stored(native, report, format="npz", name=name, extra={"keys": ["x", "y"]})
    if label:
        attach(data, np.asarray(source[label][:]), f"column '{label}'", _class_names(source, label))
    if condition:
        attach_conditions(data, {n: np.asarray(source[n][:], np.float64) for n in condition})
    return data


def _column(source: Any, name: str) -> Column:
    """A column of numbers or text as a table has it."""
    plain = source[name][:]
    missing = np.array([v is None or v != v for v in plain])
    if any(isinstance(v, str) for v in plain):
        return Column(name, np.array(["" if v is None else str(v) for v in plain], str), missing)
    values = np.array([0 if m else v for v, m in zip(plain, missing, strict=True)])
    kind = np.int64 if values.dtype.kind in "iub" else np.float64
    return Column(name, values.astype(kind), missing)
