"""Samples → lines of text and sounds: the inverse of `formats.text`, `formats.tables` and `formats.sounds`.

Whole columns are written as whole numbers, columns of few values as the nearest of these, one-hot columns as the
category with the largest value, other numbers with the fewest digits that give the same number back.
"""

from __future__ import annotations

import csv
import io
import json
import wave
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import UserError
from reverie.data.base import Spec

Beside = Mapping[str, Sequence[object]]  # columns of a table that are no entries of an example, by name


def as_saved(x: Tensor, spec: Spec) -> Tensor:
    """Samples x (N, *shape) in model units as they are once they have been saved and read again."""
    native = spec.scale.decode(x)
    if spec.extra.get("kinds"):
        native = torch.from_numpy(settled(native.numpy(), spec))
    return spec.scale.encode(native)


def settled(native: np.ndarray, spec: Spec) -> np.ndarray:
    """Rows (N, D) of a table with what only some values can be at the nearest of them: whole columns, columns of few
    values, and one category of each one-hot column.
    """
    rows = native.reshape(len(native), -1).copy()
    kinds = _kinds(spec, rows.shape[1])
    for kind in dict.fromkeys(kinds):
        places = [i for i, k in enumerate(kinds) if k == kind]
        if kind.startswith("one-hot "):
            rows[:, places] = np.eye(len(places), dtype=rows.dtype)[rows[:, places].argmax(1)]
        elif kind == "whole":
            rows[:, places] = np.rint(rows[:, places])
    for name, levels in spec.extra.get("levels", {}).items():
        place = spec.columns.index(name)
        rows[:, place] = nearest(rows[:, place], levels)
    return rows


def _kinds(spec: Spec, columns: int) -> list[str]:
    return [str(k) for k in spec.extra.get("kinds", [])] or [""] * columns


def columns_of(native: np.ndarray, spec: Spec) -> tuple[list[str], list[list[object]]]:
    """Names and values of the columns that rows (N, D) came from."""
    rows = settled(native, spec)
    names = list(spec.columns) or [str(i) for i in range(rows.shape[1])]
    kinds = _kinds(spec, rows.shape[1])
    found: dict[str, list[object]] = {}
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if not kind.startswith("one-hot "):
            whole = kind == "whole" or native.dtype.kind in "iu"
            found[name] = (np.rint(rows[:, i]).astype(np.int64) if whole else rows[:, i]).tolist()
        elif (column := kind.removeprefix("one-hot ")) not in found:
            places = [j for j, k in enumerate(kinds) if k == kind]
            values = [names[j].removeprefix(f"{column}=") for j in places]
            found[column] = [values[k] for k in rows[:, places].argmax(1)]
    return list(found), list(found.values())


def nearest(values: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Each value's nearest of the rising `levels`; the values themselves if there are none.

    >>> nearest(np.array([-7.0, 0.9, 2.2]), [0, 1, 4]).tolist()
    [0, 1, 1]
    """
    if not len(levels):
        return values
    rising = np.array(levels)
    return rising[np.searchsorted((rising[1:] + rising[:-1]) / 2, values)]


def table_of(native: np.ndarray, beside: Beside, spec: Spec) -> tuple[list[str], list[list[object]]]:
    """`columns_of` with those `beside` the examples (labels, conditions), all in the order the data had them."""
    names, columns = columns_of(native, spec)
    found = dict(zip(names, columns, strict=True)) | {name: list(values) for name, values in beside.items()}
    order = [str(name) for name in spec.extra.get("order", [])]
    named = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return named, [found[name] for name in named]


def delimited(native: np.ndarray, beside: Beside, spec: Spec, *, delimiter: str = "") -> bytes:
    """A delimited table; its header is written if the data had one."""
    names, columns = table_of(native, beside, spec)
    delimiter = delimiter or str(spec.extra.get("delimiter", ","))
    return separated(names if spec.extra.get("header", True) else (), columns, delimiter)


def separated(names: Sequence[str], columns: Sequence[Sequence[object]], delimiter: str = ",") -> bytes:
    """Columns as lines of cells, below their names if there are any."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if names:
        writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode()


def json_lines(native: np.ndarray, beside: Beside, spec: Spec) -> bytes:
    """One JSON object a row."""
    names, columns = table_of(native, beside, spec)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(native: np.ndarray, beside: Beside, spec: Spec) -> bytes:
    """A Parquet file; needs pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("writing Parquet needs pyarrow: pip install pyarrow (or save as csv)") from None
    names, columns = table_of(native, beside, spec)
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(dict(zip(names, columns, strict=True))), out)
    return out.getvalue()


def series(native: np.ndarray, names: Sequence[str] | None, spec: Spec) -> bytes:
    """A `.ts` file of signals (N, L) or (N, C, L)."""
    signals = native[:, None] if native.ndim == 2 else native
    classes = " ".join(("true", *spec.classes)) if names is not None else "false"
    head = [f"@problemName {spec.name}", "@timeStamps false", f"@univariate {str(signals.shape[1] == 1).lower()}"]
    head += ["@equalLength true", f"@seriesLength {signals.shape[2]}", f"@classLabel {classes}", "@data"]
    ends = [""] * len(signals) if names is None else [f":{name}" for name in names]
    body = (
        ":".join(",".join(map(repr, c)) for c in s) + e
        for s, e in zip(signals.astype(float).tolist(), ends, strict=True)
    )
    return "\n".join((*head, *body, "")).encode()


def sound(native: np.ndarray, spec: Spec) -> bytes:
    """A WAV file of one signal (L,) or (L, C) of PCM: 8 bits unsigned, 16 or 32 bits signed; 24 bits as in the data."""
    width = int(spec.extra.get("width", native.dtype.itemsize))
    frames = native[:, None] if native.ndim == 1 else native
    if width == 3:
        raw = np.ascontiguousarray(frames, "<i4").view(np.uint8).reshape(*frames.shape, 4)[..., :3].tobytes()
    elif native.dtype.name in ("uint8", "int16", "int32"):
        raw = frames.astype(frames.dtype.newbyteorder("<")).tobytes()
    else:
        raise UserError(f"WAV files cannot hold {native.dtype}; save as npy")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(width)
        file.setframerate(int(spec.rate) or 16000)
        file.writeframes(raw)
    return out.getvalue()
