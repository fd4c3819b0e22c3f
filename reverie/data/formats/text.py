"""Text → columns: CSV, TSV and other delimited text, JSON lines, and the `.ts` files of time-series archives.

Nothing is guessed from a file's name. A first row without a number in it is the header. Empty cells and NA, NaN, null,
None and ? are missing. Files are read whole, within the memory budget.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reverie.core.errors import BAD_DATA, UserError
from reverie.data.formats.binary import content
from reverie.data.limits import budget

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
DELIMITERS = ",\t;|"
LONGEST_CELL = 1 << 20
NAMELESS = "(without a name)"  # the numbers of rows that pandas writes have no name
SWELLING = 8  # memory that parsed cells take, as a multiple of the file


@dataclass(frozen=True)
class Column:
    """One column: whole numbers (int64), numbers (float64) or text (str), and which entries are missing."""

    name: str
    values: np.ndarray
    missing: np.ndarray

    @property
    def is_number(self) -> bool:
        return self.values.dtype.kind in "if"


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `header` is whether the file named them; `delimiter` as it was."""

    columns: tuple[Column, ...]
    header: bool = True
    delimiter: str = ","

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def __getitem__(self, name: str) -> Column:
        return self.columns[self.names.index(name)]


def read_text(path: Path) -> str:
    """A text file, gunzipped if need be. Raises UserError if it is not UTF-8 (or Latin-1) text."""
    return decode_text(content(path, budget() // SWELLING), str(path))


def decode_text(raw: bytes, where: str) -> str:
    """UTF-8 with or without a mark, UTF-16 with one, else Latin-1; never binary."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    if b"\0" in raw[:4096]:
        raise UserError(f"'{where}' is of no format that is known here (it is not text)", code=BAD_DATA)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def delimiter_of(text: str) -> str:
    """What splits most of the first lines into the same number of cells, and into the most cells; or a blank."""
    lines = [line for line in text[:65536].splitlines()[:20] if line.strip()]
    lines = lines[:-1] if len(lines) > 1 and len(text) > 65536 else lines
    best, score = " ", (0.5, 1)
    for delimiter in DELIMITERS if lines else "":
        cells, rows = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter)).most_common(1)[0]
        if cells > 1 and (rows / len(lines), cells) > score:
            best, score = delimiter, (rows / len(lines), cells)
    return best


def parse_table(text: str, where: str) -> Table:
    """Delimited text as a table. Raises UserError with the line for a row of the wrong length."""
    delimiter = delimiter_of(text)
    rows = _rows(text, delimiter, where)
    if not rows:
        raise UserError(f"'{where}' holds no rows", code=BAD_DATA)
    named = [cell.strip() for cell in rows[0]]
    header = any(named) and not any(map(_is_number, named)) and len(set(named)) == len(named)
    names = [cell or NAMELESS for cell in named] if header else [str(i) for i in range(len(named))]
    body = rows[1:] if header else rows
    if not body:
        raise UserError(f"'{where}' holds a header but no rows", code=BAD_DATA)
    for number, row in enumerate(body, 1 + header):
        if len(row) != len(names):
            raise UserError(
                f"'{where}', row {number}: {len(row)} cells, but there are {len(names)} columns", code=BAD_DATA
            )
    columns = tuple(column(name, cells) for name, cells in zip(names, zip(*body, strict=True), strict=True))
    return Table(columns, header, delimiter)


def _rows(text: str, delimiter: str, where: str) -> list[Sequence[str]]:
    if delimiter == " ":
        return [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    csv.field_size_limit(LONGEST_CELL)
    try:
        return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row and not row[0].startswith("#")]
    except csv.Error as error:
        raise UserError(f"'{where}' cannot be read as a table: {error}", code=BAD_DATA) from error


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def column(name: str, cells: Sequence[str]) -> Column:
    """Cells of text as whole numbers if all are, numbers if all are, else as text; missing ones are 0 or ''."""
    try:
        values = np.array(cells, dtype=np.float64)  # the usual case, at once
        if np.isfinite(values).all() and not any("_" in cell for cell in cells):
            return Column(name, _whole(values, cells), np.zeros(len(cells), bool))
    except ValueError:
        pass
    missing = np.array([_is_missing(cell) for cell in cells])
    kept = ["0" if gone else cell for cell, gone in zip(cells, missing, strict=True)]
    if not missing.all() and all(_is_number(cell) for cell in kept):
        return Column(name, _whole(np.array(kept, dtype=np.float64), kept), missing)
    return Column(name, np.array(["" if m else c.strip() for c, m in zip(cells, missing, strict=True)], str), missing)


def _whole(values: np.ndarray, cells: Sequence[str]) -> np.ndarray:
    """int64 where every cell is written as a whole number."""
    if not (np.abs(values) < 2**53).all() or not (values == np.rint(values)).all():
        return values
    return values.astype(np.int64) if not any(c in cell for cell in cells for c in ".eE") else values


def parse_lines(text: str, where: str) -> Table:
    """JSON lines (or one JSON list) of flat objects as a table; keys that are absent are missing."""
    try:
        first = text.lstrip()[:1]
        entries = json.loads(text) if first == "[" else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{where}' cannot be read as JSON lines: {error}", code=BAD_DATA) from error
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"'{where}' must hold one JSON object a line", code=BAD_DATA)
    names = list(dict.fromkeys(str(key) for entry in entries for key in entry))
    return Table(tuple(column(name, [_cell(entry.get(name)) for entry in entries]) for name in names))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else value if isinstance(value, str) else json.dumps(value)


def is_series(start: bytes) -> bool:
    """Whether a file begins like a `.ts` time-series file."""
    words = (
        b"@problemname",
        b"@timestamps",
        b"@univariate",
        b"@serieslength",
        b"@dimensions",
        b"@data",
        b"@classlabel",
    )
    lines = [line.strip().lower() for line in start.splitlines() if line.strip() and not line.startswith(b"#")]
    return bool(lines) and lines[0].startswith(words)


def parse_series(text: str, where: str) -> tuple[np.ndarray, list[str]]:
    """A `.ts` file → series (N, C, L) float64 and their classes ([] if it has none)."""
    head, _, body = text.partition("@data")
    labelled = any(line.lower().startswith("@classlabel true") for line in head.splitlines())
    series, labels = [], []
    for number, line in enumerate(filter(None, (line.strip() for line in body.splitlines())), 1):
        parts = line.split(":")
        if labelled:
            labels.append(parts.pop())
        try:
            series.append(np.array([[float(v) for v in part.split(",")] for part in parts]))
        except ValueError as error:
            raise UserError(
                f"'{where}', series {number}: {error}; missing values must be filled", code=BAD_DATA
            ) from error
    if len({s.shape for s in series}) != 1:
        reason = "series of different lengths; cut or fill them to one" if series else "no series"
        raise UserError(f"'{where}' holds {reason}", code=BAD_DATA)
    return np.stack(series), labels
