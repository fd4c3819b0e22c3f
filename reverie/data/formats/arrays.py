"""NumPy arrays: `.npy` and `.npz`, memory-mapped where possible; never unpickled.

An `.npz` holds one array of examples and, optionally, labels, class names and conditions, each recognised by its name
or by having one entry per example. Headers are held against the size of the file before anything is allocated.
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import torch

from reverie.core.errors import BAD_DATA, UserError, unknown
from reverie.data.base import Dataset, named_labels
from reverie.data.limits import MIB, Unreadable, budget, open_regular, product, refuse_bomb
from reverie.data.report import Report
from reverie.data.stored import hold, stored

DATA = ("x", "data", "images", "image", "x_train", "train_images", "samples", "signals", "features", "arr_0", "adc")
LABELS = (
    "y",
    "label",
    "labels",
    "target",
    "targets",
    "class",
    "classes",
    "y_train",
    "train_labels",
    "symbol",
    "symbols",
    "arr_1",
)
NAMES = ("class_names", "classes", "names", "label_names", "labels_names", "categories")
HEADER = 10_000  # bytes of header that are ever parsed
# what NumPy raises on a broken header, which it reads as a Python literal (and, if that fails, by tokens)
BROKEN: tuple[type[Exception], ...] = (ValueError, EOFError, SyntaxError, struct.error, RecursionError, MemoryError)
BROKEN += (TypeError, KeyError, tokenize.TokenError)


def header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, Fortran order, dtype) of an `.npy` stream, which is left at the first byte of data."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"unknown version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=HEADER)
    except BROKEN as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"'{where}' is no readable .npy array: {reason:.120}", code=BAD_DATA) from error
    if dtype.hasobject:
        raise UserError(
            f"'{where}' holds pickled Python objects, which are never loaded; save it as numbers", code=BAD_DATA
        )
    return shape, fortran, dtype


def map_array(path: Path, where: str, offset: int = 0, size: int | None = None) -> np.ndarray:
    """An array mapped from a file (or from a stored member at `offset`), its header held against the bytes there."""
    try:
        with open_regular(path) as file:
            file.seek(offset)
            shape, fortran, dtype = header(file, where)
            start = file.tell()
            there = (path.stat().st_size if size is None else offset + size) - start
    except Unreadable as reason:
        raise UserError(f"'{where}': {reason}", code=BAD_DATA) from reason
    wanted = product(shape, dtype.itemsize, where)
    if wanted > there:
        raise UserError(
            f"'{where}' says its shape is {shape} ({wanted:,} bytes), but only {there:,} bytes follow", code=BAD_DATA
        )
    if not wanted:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def open_npy(
    path: Path,
    report: Report,
    *,
    layout: str = "",
    bounds: tuple[float, float] | None = None,
    condition: Sequence[str] = (),
) -> Dataset:
    """One array of examples, with `labels.npy` or `NAME_labels.npy` beside it if that has one entry per example."""
    if condition:
        raise UserError(
            f"an .npy array has no condition '{condition[0]}'; use an .npz with one array for each condition"
        )
    native = hold(map_array(path, str(path)))
    data = stored(native, report, format="npy", name=path.stem, layout=layout, bounds=bounds)
    for name in (f"{path.stem}_labels.npy", f"{path.stem}-labels.npy", "labels.npy", "y.npy"):
        beside = path.with_name(name)
        if beside.is_file() and beside != path:
            values = map_array(beside, str(beside))
            if values.shape == (len(data),):
                attach(data, np.array(values), name)
                break
    return data


def attach(data: Dataset, labels: np.ndarray, where: str, names: Sequence[str] = ()) -> None:
    """Give a dataset its labels, and its report their counts. `names` replaces the names of labels 0 … K − 1."""
    if labels.dtype.kind not in "iubfUS":
        raise UserError(f"labels in {where} have type {labels.dtype}; whole numbers or text are allowed", code=BAD_DATA)
    if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        raise UserError(
            f"labels in {where} are not whole numbers; use them as a condition (--condition)", code=BAD_DATA
        )
    values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in labels.tolist()]
    index, classes = named_labels(values)
    kind = "text" if labels.dtype.kind in "US" else labels.dtype.name
    if names and labels.dtype.kind in "iub" and int(labels.min()) >= 0 and int(labels.max()) < len(names):
        index, classes = torch.from_numpy(labels.astype(np.int64)), tuple(map(str, names))
        kind = "index"
    data.label = index
    extra = data.spec.extra | {"labels": kind}
    data.spec = replace(data.spec, classes=classes, extra=extra)
    counts = torch.bincount(index, minlength=len(classes)).tolist()
    data.report.labels = dict(zip(classes, counts, strict=True))


def attach_conditions(data: Dataset, columns: dict[str, np.ndarray]) -> None:
    """Give a dataset numeric conditions (N,) or (N, K) by name, standardised column by column."""
    named: list[tuple[str, np.ndarray]] = []
    for name, values in columns.items():
        if values.dtype.kind not in "iubf" or len(values) != len(data) or values.ndim > 2:
            raise UserError(
                f"condition '{name}' must be one number or vector for each of {len(data)} examples", code=BAD_DATA
            )
        table = values.reshape(len(values), -1).astype(np.float64)
        if not np.isfinite(table).all():
            row = int((~np.isfinite(table).all(1)).argmax())
            raise UserError(f"condition '{name}' is missing or infinite, first in example {row}", code=BAD_DATA)
        labels = [name] if values.ndim == 1 else [f"{name}[{k}]" for k in range(table.shape[1])]
        named += zip(labels, table.T, strict=True)
    mean = [float(v.mean()) for _, v in named]
    spread = [float(v.std()) or 1.0 for _, v in named]
    table = np.stack([(v - m) / s for (_, v), m, s in zip(named, mean, spread, strict=True)], 1)
    data.given = torch.from_numpy(table.astype(np.float32))
    names = tuple(name for name, _ in named)
    extra = data.spec.extra | {"whole": [name for name, values in columns.items() if values.dtype.kind in "iub"]}
    data.spec = replace(
        data.spec, conditions=names, condition_mean=tuple(mean), condition_spread=tuple(spread), extra=extra
    )


class Archive:
    """The arrays of an `.npz` by name, loaded one at a time within limits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                self.infos = {
                    i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")
                }
                self.shapes = {name: self._peek(archive, info) for name, info in self.infos.items()}
        except Unreadable as reason:
            raise UserError(f"'{path}': {reason}", code=BAD_DATA) from reason
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
            raise UserError(f"'{path}' is a damaged .npz file: {error}", code=BAD_DATA) from error

    def _peek(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
        """The shape in a member's header, once its size agrees with what the archive says."""
        where = f"{self.path}:{info.filename}"
        with archive.open(info) as file:
            shape, _, dtype = header(file, where)
            wanted = product(shape, dtype.itemsize, where) + file.tell()
        if wanted != info.file_size:
            raise UserError(
                f"'{where}' says its shape is {shape}, which is {wanted:,} bytes, but it has {info.file_size:,}",
                code=BAD_DATA,
            )
        refuse_bomb(info.compress_size, info.file_size, where)
        return shape

    def load(self, name: str) -> np.ndarray:
        """One array: mapped if it is stored uncompressed, else unpacked into memory."""
        info, where = self.infos[name], f"{self.path}:{name}"
        if info.compress_type == zipfile.ZIP_STORED:
            with open_regular(self.path) as file:
                file.seek(info.header_offset + 26)
                lengths = struct.unpack("<HH", file.read(4))
            return map_array(self.path, where, info.header_offset + 30 + sum(lengths), info.file_size)
        if info.file_size > budget():
            raise UserError(
                f"'{where}' unpacks to {info.file_size / MIB:,.0f} MiB, more than memory allows; "
                "save it uncompressed (np.savez)",
                code=BAD_DATA,
            )
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(info) as file:
                return np.lib.format.read_array(file, allow_pickle=False, max_header_size=HEADER)
        except (ValueError, zipfile.BadZipFile, OSError, EOFError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
            raise UserError(f"'{where}' is damaged: {error}", code=BAD_DATA) from error


def open_npz(
    path: Path,
    report: Report,
    *,
    layout: str = "",
    bounds: tuple[float, float] | None = None,
    condition: Sequence[str] = (),
    label: str = "",
) -> Dataset:
    """Examples, labels, class names and conditions from one `.npz`."""
    archive = Archive(path)
    shapes = archive.shapes
    for name in (*condition, *([label] if label else [])):
        if name not in shapes:
            raise unknown("array", name, shapes)
    key = _data_key({n: s for n, s in shapes.items() if n not in condition and n != label}, str(path))
    count = shapes[key][0]
    label = label or next(
        (n for n in shapes if n.lower() in LABELS and n != key and n not in condition and shapes[n] == (count,)), ""
    )
    names_key = next((n for n in shapes if n.lower() in NAMES and n not in (key, label) and len(shapes[n]) == 1), "")
    native = hold(archive.load(key))
    labels = np.array(archive.load(label)) if label else None
    tests = _test_part(shapes, key, label) if not condition else ()
    if tests:
        native = np.concatenate((native, archive.load(tests[0])))
        labels = None if labels is None else np.concatenate((labels, archive.load(tests[1])))
    extra = {"keys": [key, label or "y"]}
    data = stored(native, report, format="npz", name=path.stem, layout=layout, bounds=bounds, extra=extra)
    report.note(f"examples from array '{key}'" + (f", labels from '{label}'" if label else ""))
    if labels is not None:
        names = archive.load(names_key).tolist() if names_key else ()
        attach(data, labels, f"'{label}'", names)
    if tests:
        data.held = torch.arange(len(native)) >= count
        report.note(f"official test part: array '{tests[0]}', {len(native) - count} examples, is held out")
    if condition:
        attach_conditions(data, {name: np.array(archive.load(name)) for name in condition})
    left = [n for n in shapes if n not in (key, label, names_key, *condition, *tests)]
    if left:
        fitting = any(shapes[n][:1] == (count,) for n in left)
        report.note(f"arrays not used: {', '.join(left)}" + " (--condition takes numbers for each example)" * fitting)
    return data


def _test_part(shapes: dict[str, tuple[int, ...]], key: str, label: str) -> tuple[str, ...]:
    """The arrays `x_test` (and `y_test`) that go with `x_train` (and `y_train`); () if there are none that fit."""
    names = [key.replace("train", "test")] + ([label.replace("train", "test")] if label else [])
    if "train" not in key or any(name not in shapes or name in (key, label) for name in names):
        return ()
    alike = shapes[names[0]][1:] == shapes[key][1:] and len({shapes[name][:1] for name in names}) == 1
    return tuple(names) if alike else ()


def _data_key(shapes: dict[str, tuple[int, ...]], where: str) -> str:
    """The array of examples: by name, else the largest."""
    full = {name: shape for name, shape in shapes.items() if shape}
    if not full:
        raise UserError(f"'{where}' holds no array of examples", code=BAD_DATA)
    known = [name for wanted in DATA for name in full if name.lower() == wanted]
    return known[0] if known else max(full, key=lambda name: product(full[name], 1, where))
