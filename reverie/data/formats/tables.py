"""Tables of numbers and text signals: CSV, TSV, JSON lines, `.ts`.

Each row is an example. Columns of text become one-hot numbers "column=value" (and text again when saved); whole numbers
stay whole, and columns of few values keep to these. Rows of many numbers that resemble their neighbours, without names,
are signals. A missing value is reported by column and refused: nothing is filled in or dropped without being asked.
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
from reverie.data.formats.binary import hold_out
from reverie.data.formats.text import NAMELESS, Column, Table, parse_lines, parse_series, parse_table, read_text
from reverie.data.layout import SHORTEST_SIGNAL, is_smooth
from reverie.data.report import Report
from reverie.data.stored import stored

MOST_VALUES = 100  # different values of a column of text that becomes one-hot
FEW = 50  # different values of a column that can be a label without being named so, or whose samples take these values
OFTEN = 10  # rows that share a value, on average, for its column to be one of few values


def open_table(
    path: Path,
    report: Report,
    *,
    label: str = "",
    condition: Sequence[str] = (),
    bounds: tuple[float, float] | None = None,
    layout: str = "",
) -> Dataset:
    """A delimited text file or JSON lines, gzipped or not."""
    text = read_text(path)
    lines = text.lstrip()[:2] in ('{"', "{ ", "[{") or path.name.endswith((".jsonl", ".ndjson"))
    table = parse_lines(text, str(path)) if lines else parse_table(text, str(path))
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    format = "jsonl" if lines else {",": "csv", "\t": "tsv"}.get(table.delimiter, "csv")
    return from_table(
        table, report, format=format, name=name, label=label, condition=condition, bounds=bounds, layout=layout
    )


def names_files(path: Path, start: bytes) -> bool:
    """Whether a table that begins so names files that lie beside it: then it describes them, and is not the data."""
    first = start.decode("utf-8", "replace").splitlines()[:3]
    words = [word.strip(' "') for line in first for word in re.split(r"[,;\t|]", line)]
    return any("." in word and len(word) < 256 and (path.parent / word).is_file() for word in words if word)


def from_table(
    table: Table,
    report: Report,
    *,
    format: str,
    name: str,
    label: str = "",
    condition: Sequence[str] = (),
    bounds: tuple[float, float] | None = None,
    layout: str = "",
) -> Dataset:
    """The dataset of a table's rows; `layout` "L" says that they are signals, "V" that they are not."""
    if layout not in ("", "L", "V"):
        raise UserError(f"the layout of a table is L (signals) or V (columns), not '{layout}'")
    for wanted in (*condition, *([label] if label else [])):
        if wanted not in table.names:
            raise unknown("column", wanted, table.names)
    _refuse_missing(table, report)
    label = label or _label_column(table, condition)
    features = [c for c in table.columns if c.name != label and c.name not in condition]
    used = [c for c in features if not _is_prose(c, report) and not _is_count(c, report)]
    if not used:
        raise UserError(f"'{report.path}' has no column of numbers to learn from", code=BAD_DATA)
    native, names, kinds = _numbers(used)
    if text := [c.name for c in used if not c.is_number]:
        report.note(f"text becomes a number, 0 or 1, for each value: {', '.join(text)} (--label makes classes of one)")
    signal = layout == "L" or (not layout and _is_signal(table, used, native))
    order = [c.name for c in table.columns if c.name in {u.name for u in used} | {label, *condition}]
    extra: dict[str, Any] = {"delimiter": table.delimiter, "header": table.header, "label": label, "order": order}
    if not signal:
        extra |= {"kinds": kinds, "levels": _levels(used, report)}
    data = stored(
        native,
        report,
        format=format,
        name=name,
        layout="L" if signal else "V",
        bounds=bounds,
        columns=names,
        extra=extra,
    )
    if not signal and data.spec.kind == "vector":
        data.spec = replace(data.spec, kind="table")
    if label:
        attach(data, table[label].values, f"column '{label}'")
        report.note(f"labels from column '{label}'")
    if condition:
        attach_conditions(data, {name: table[name].values for name in condition})
    report.formats[format] = len(native)
    return data


def _refuse_missing(table: Table, report: Report) -> None:
    gone = {c.name: int(c.missing.sum()) for c in table.columns if c.missing.any()}
    if not gone:
        return
    report.facts["missing"] = gone
    first = table[next(iter(gone))]
    listed = ", ".join(f"'{name}' ({count})" for name, count in list(gone.items())[:8])
    raise UserError(
        f"'{report.path}' misses values in {len(gone)} of {len(table.columns)} columns: {listed}; the first in row "
        f"{int(first.missing.argmax()) + 1} of '{first.name}'. Drop these rows or fill them, for instance with pandas: "
        "df.dropna() or df.fillna(df.median(numeric_only=True))",
        code=BAD_DATA,
    )


def _label_column(table: Table, condition: Sequence[str]) -> str:
    """A column called label, class … with few values; without a header, one of few whole values beside a signal."""
    for column in table.columns:
        few = len(np.unique(column.values)) <= min(FEW, max(2, len(table) // 2))
        named = table.header and column.name.lower() in LABELS and column.name not in condition
        if named and few and column.values.dtype.kind in "iU":
            return column.name
    if table.header or len(table.columns) <= SHORTEST_SIGNAL or not all(c.is_number for c in table.columns[1:-1]):
        return ""
    for column, rest in ((table.columns[0], table.columns[1:]), (table.columns[-1], table.columns[:-1])):
        whole = column.values.dtype.kind == "U" or bool((column.values == np.rint(column.values)).all())
        few = 1 < len(np.unique(column.values)) <= min(FEW, len(table) // 2)
        if whole and few and all(c.is_number for c in rest):
            matrix = np.stack([c.values for c in rest], 1)
            if matrix.dtype.kind == "f" and is_smooth(matrix[:64]):
                return column.name
    return ""


def _is_prose(column: Column, report: Report) -> bool:
    """Whether a column of text has too many different values to be a category; said."""
    values = 0 if column.is_number else len(np.unique(column.values))
    if values > min(MOST_VALUES, max(10, len(column.values) // 2)):
        report.note(f"column '{column.name}' is text with {values} different values: not used")
        return True
    return False


def _is_count(column: Column, report: Report) -> bool:
    """Whether a nameless first column only counts the rows; said."""
    if column.name != NAMELESS or not np.array_equal(column.values, np.arange(len(column.values))):
        return False
    report.note("the column without a name counts the rows: not used")
    return True


def _numbers(columns: Sequence[Column]) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """(values (N, D), names, kinds): a kind is "whole", "number" or the category "column=value" for one-hot columns."""
    parts, names, kinds = [], [], []
    for column in columns:
        if column.is_number:
            parts.append(column.values)
            names.append(column.name)
            kinds.append("whole" if column.values.dtype.kind == "i" else "number")
            continue
        for value in np.unique(column.values):
            parts.append((column.values == value).astype(np.int64))
            names.append(f"{column.name}={value}")
            kinds.append(column.name)
    return np.stack(parts, 1), tuple(names), [k if k in ("whole", "number") else f"one-hot {k}" for k in kinds]


def _levels(columns: Sequence[Column], report: Report) -> dict[str, list[float]]:
    """The values of each column of numbers that has few of them, which samples are rounded to when they are saved."""
    levels = {c.name: np.unique(c.values).tolist() for c in columns if c.is_number}
    levels = {k: v for k, v in levels.items() if len(v) <= min(FEW, len(columns[0].values) // OFTEN)}
    if levels:
        listed = ", ".join(f"{name} ({len(values)})" for name, values in list(levels.items())[:12])
        report.note(f"columns of few values, which samples are rounded to: {listed}{', …' * (len(levels) > 12)}")
    return levels


def _is_signal(table: Table, used: Sequence[Column], native: np.ndarray) -> bool:
    """Long smooth rows whose columns have no names of their own (none, or numbers with a common stem)."""
    numbered = not table.header or len({re.sub(r"\d+$", "", c.name) for c in used}) == 1
    return numbered and len(used) >= SHORTEST_SIGNAL and is_smooth(native[:64])


def open_series(path: Path, report: Report, *, bounds: tuple[float, float] | None = None) -> Dataset:
    """A `.ts` file; NAME_TRAIN.ts and NAME_TEST.ts beside each other are one set with an official test part."""
    match = re.match(r"(.*_)(TRAIN|TEST)(\.ts(?:\.gz)?)$", path.name)
    files = [path]
    if match:
        both = [path.with_name(f"{match[1]}{part}{match[3]}") for part in ("TRAIN", "TEST")]
        files = both if all(p.is_file() for p in both) else files
    parts = [parse_series(read_text(p), str(p)) for p in files]
    if len({series.shape[1:] for series, _ in parts}) > 1:
        raise UserError(f"'{path}' and its other part differ in shape", code=BAD_DATA)
    native = np.concatenate([series for series, _ in parts])
    single = native.shape[1] == 1
    data = stored(
        native[:, 0] if single else native,
        report,
        format="ts",
        name=match[1].rstrip("_") if match else path.name.split(".")[0],
        layout="L" if single else "CL",
        bounds=bounds,
    )
    if all(labels for _, labels in parts):
        attach(data, np.array([v for _, labels in parts for v in labels], str), "the series")
    if len(parts) == 2:
        hold_out(data, [(len(parts[0][0]), False), (len(parts[1][0]), True)])
    report.formats["ts"] = len(native)
    return data
