"""Parquet files: tables of numbers and text, or pictures in a column of bytes as Hugging Face writes them.

Needs pyarrow, which is no dependency of this package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import BAD_DATA, UserError, unknown
from reverie.data.base import Dataset
from reverie.data.formats.arrays import LABELS, attach, attach_conditions
from reverie.data.formats.images import open_pictures
from reverie.data.formats.tables import from_table
from reverie.data.formats.text import Column, Table
from reverie.data.limits import Unreadable, budget
from reverie.data.report import Report
from reverie.data.sources import Item


def open_parquet(
    path: Path, report: Report, *, label: str = "", condition: Sequence[str] = (), size: str = "", mode: str = ""
) -> Dataset:
    """Rows of numbers and text, or of pictures with their labels."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(f"reading '{path}' needs pyarrow: pip install pyarrow (or save it as CSV)") from None
    try:
        unpacked = sum(_group_bytes(parquet.ParquetFile(path)))
        if unpacked > budget():
            raise UserError(f"'{path}' unpacks to {unpacked >> 20:,} MiB, more than memory allows", code=BAD_DATA)
        read = parquet.read_table(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0][:120]
        raise UserError(f"'{path}' is no readable Parquet file: {reason}", code=BAD_DATA) from error
    for wanted in (*condition, *([label] if label else [])):
        if wanted not in read.column_names:
            raise unknown("column", wanted, read.column_names)
    picture = next((n for n in read.column_names if "bytes" in _fields(read.column(n))), "")
    if picture:
        return _pictures(read, picture, path, report, label=label, condition=condition, size=size, mode=mode)
    columns = tuple(_column(name, read.column(name), str(path)) for name in read.column_names)
    return from_table(Table(columns), report, format="parquet", name=path.stem, label=label, condition=condition)


def _group_bytes(file: Any) -> list[int]:
    """The size of each row group once unpacked, by the file's own account."""
    return [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]


def _fields(values: Any) -> list[str]:
    """The names of the fields of a column of records."""
    kind = values.type
    return [kind.field(i).name for i in range(kind.num_fields)] if str(kind).startswith("struct") else []


def _pictures(
    table: Any,
    picture: str,
    path: Path,
    report: Report,
    *,
    label: str,
    condition: Sequence[str],
    size: str,
    mode: str,
) -> Dataset:
    report.found = table.num_rows
    items = [Item(f"row {i:09d}", 0, _reader(table.column(picture), i)) for i in range(table.num_rows)]
    data, used = open_pictures(items, report, name=path.stem, size=size, mode=mode)
    rows = [int(item.name.split()[1]) for item in used]
    data.names = [item.name for item in used]
    label = label or next((n for n in table.column_names if n.lower() in LABELS and n not in condition), "")
    if label:
        attach(data, _column(label, table.column(label), str(path)).values[rows], f"column '{label}'")
        data.spec = replace(data.spec, extra=data.spec.extra | {"labels": "folders", "label": label})
    if condition:
        values = {name: _column(name, table.column(name), str(path)).values[rows] for name in condition}
        attach_conditions(data, values)
    return data


def _reader(column: Any, i: int) -> Any:
    def read() -> bytes:
        entry = column[i].as_py()
        if not entry or not entry["bytes"]:
            raise Unreadable("the picture is missing")
        return entry["bytes"]

    return read


def _column(name: str, values: Any, where: str) -> Column:
    """A column of numbers or text as a table has it."""
    kind = str(values.type)
    missing = np.array(values.is_null().to_pylist(), dtype=bool)
    plain = values.to_pylist()
    if re.match(r"u?int|bool", kind):
        return Column(name, np.array([0 if v is None else int(v) for v in plain], np.int64), missing)
    if re.match(r"float|double|halffloat|decimal", kind):
        numbers = np.array([0.0 if v is None else float(v) for v in plain])
        return Column(name, np.nan_to_num(numbers), missing | np.isnan(numbers))
    if kind in ("string", "large_string", "string_view") or kind.startswith("dictionary"):
        return Column(name, np.array(["" if v is None else str(v) for v in plain], str), missing)
    raise UserError(f"'{where}', column '{name}' has type {kind}; numbers and text can be read", code=BAD_DATA)
