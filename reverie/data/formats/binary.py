"""IDX files (MNIST and its kin, gzipped or not) and CIFAR-10/100 binary batches.

IDX: 0, 0, type code, number of axes; then the axes and the values, big-endian. Labels lie beside images under the same
stem. CIFAR: records of 1 (or 2) label bytes and 3·32·32 bytes, channels first. Both come with an official test part.
Reference: yann.lecun.com/exdb/mnist, cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reverie.core.errors import BAD_DATA, UserError
from reverie.data.base import Dataset
from reverie.data.formats.arrays import attach
from reverie.data.limits import Unreadable, budget, gunzip, product, read_regular
from reverie.data.report import Report
from reverie.data.stored import stored

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
CIFAR10, CIFAR100 = 3073, 3074


def is_idx(head: bytes) -> bool:
    """Whether bytes begin like an IDX file."""
    return len(head) >= 8 and head[:2] == b"\0\0" and head[2] in TYPES and 1 <= head[3] <= 5


def content(path: Path, limit: int | None = None) -> bytes:
    """A file's bytes, gunzipped if need be, within limits."""
    limit = budget() if limit is None else limit
    try:
        head = read_regular(path, limit=1 << 62)[:2] if path.stat().st_size < 2 else _head(path)
        return gunzip(path, limit) if head[:2] == b"\x1f\x8b" else read_regular(path, limit)
    except Unreadable as reason:
        raise UserError(f"'{path}': {reason}", code=BAD_DATA) from reason


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(2)


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, its header held against its length."""
    raw = content(path)
    if not is_idx(raw[:8]):
        raise UserError(f"'{path}' is no IDX file", code=BAD_DATA)
    axes = raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", axes, 4)) if len(raw) >= 4 + 4 * axes else ()
    dtype = np.dtype(TYPES[raw[2]])
    wanted = product(shape, dtype.itemsize, str(path)) + 4 + 4 * axes
    if not shape or wanted != len(raw):
        raise UserError(
            f"'{path}' says its shape is {shape} ({wanted:,} bytes), but it has {len(raw):,} bytes", code=BAD_DATA
        )
    return np.frombuffer(raw, dtype, offset=4 + 4 * axes).reshape(shape).astype(dtype.newbyteorder("="))


def pairs(folder: Path) -> dict[str, tuple[Path, Path | None]]:
    """IDX images and their labels by part ("train", "t10k", …) in a folder."""
    files = {p.name: p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")}
    found: dict[str, tuple[Path, Path | None]] = {}
    for name, path in files.items():
        match = re.match(r"(.*?)[-_.]?images?[-_.]idx\d[-_.]ubyte(\.gz)?$", name)
        if match:
            stem = re.escape(match.group(1))
            beside = [p for n, p in files.items() if re.match(rf"{stem}[-_.]?labels?[-_.]idx1[-_.]ubyte(\.gz)?$", n)]
            found.setdefault(match.group(1), (path, beside[0] if beside else None))
    return found


def open_idx(path: Path, report: Report, *, bounds: tuple[float, float] | None = None, layout: str = "") -> Dataset:
    """A folder of IDX files, or one file with the labels and the test part that lie beside it."""
    parts = pairs(path if path.is_dir() else path.parent)
    single = [stem for stem, (images, _) in parts.items() if path.is_file() and images == path]
    if path.is_file() and not single:
        parts = {"": (path, None)}
    elif single and single[0] not in ("train", "training"):
        parts = {single[0]: parts[single[0]]}
    train = {k: v for k, v in parts.items() if not re.match(r"t10k|test|val", k)}
    order = {**train, **{k: v for k, v in parts.items() if k not in train}} if train else parts
    arrays = [read_idx(images) for images, _ in order.values()]
    native = arrays[0] if len(arrays) == 1 else _joined(arrays, report.path)
    data = stored(native, report, format="idx", name=path.resolve().name.split(".")[0], layout=layout, bounds=bounds)
    if all(beside is not None for _, beside in order.values()):
        labels = [read_idx(beside) for _, beside in order.values() if beside]
        if [len(v) for v in labels] != [len(v) for v in arrays] or any(v.ndim != 1 for v in labels):
            raise UserError(f"'{report.path}': images and labels differ in number", code=BAD_DATA)
        attach(data, np.concatenate(labels), "the label files")
    hold_out(data, [(len(a), stem not in train) for a, stem in zip(arrays, order, strict=True)])
    report.formats["IDX"] = len(native)
    return data


def hold_out(data: Dataset, parts: list[tuple[int, bool]]) -> None:
    """Mark the official test part: (number of examples, whether it is the test part) in order."""
    held = torch.cat([torch.full((count,), test) for count, test in parts])
    if held.any() and not held.all():
        data.held = held
        data.report.note(f"official test part: {int(held.sum())} of {len(held)} examples are held out")


def _joined(arrays: list[np.ndarray], where: str) -> np.ndarray:
    if len({(a.shape[1:], a.dtype) for a in arrays}) > 1:
        raise UserError(
            f"'{where}' holds IDX files of different shapes: {', '.join(str(a.shape) for a in arrays)}", code=BAD_DATA
        )
    return np.concatenate(arrays)


def cifar_files(path: Path) -> list[Path]:
    """The CIFAR binary batches in a folder (or the one file), by name and size; training batches first."""
    files = [path] if path.is_file() else sorted(path.glob("*.bin"))
    names = re.compile(r"(data_batch_\d+|test_batch|train|test)\.bin$")
    batches = [p for p in files if names.match(p.name) and p.stat().st_size]
    if not any(_record(p) for p in batches):
        return []
    return sorted(batches, key=lambda p: (p.name.startswith("test"), p.name))


def _record(path: Path) -> int:
    """Bytes of one record, 0 if the size fits neither CIFAR-10 nor CIFAR-100."""
    size = path.stat().st_size
    sizes = (CIFAR100, CIFAR10) if path.name in ("train.bin", "test.bin") else (CIFAR10, CIFAR100)
    return next((n for n in sizes if size % n == 0), 0)


def open_cifar(path: Path, report: Report) -> Dataset:
    """CIFAR-10 or CIFAR-100 (its fine labels) from the binary version."""
    files = cifar_files(path)
    record = next(filter(None, map(_record, files)))
    for file in files:
        if file.stat().st_size % record:
            raise UserError(
                f"'{file}' is damaged: {file.stat().st_size:,} bytes are no records of {record}", code=BAD_DATA
            )
    tables = [np.frombuffer(content(p), np.uint8).reshape(-1, record) for p in files]
    table = np.concatenate(tables)
    native = np.ascontiguousarray(table[:, record - 3072 :]).reshape(-1, 3, 32, 32)
    extra = {"record": record}
    data = stored(native, report, format="cifar", name=path.resolve().stem, layout="CHW", extra=extra, mode="RGB")
    names = _class_names(path if path.is_dir() else path.parent, record)
    attach(data, table[:, record - 3073], "the batches", names)
    data.spec = replace(data.spec, extra=data.spec.extra | extra)
    hold_out(data, [(len(t), p.name.startswith("test")) for t, p in zip(tables, files, strict=True)])
    report.formats["CIFAR"] = len(native)
    return data


def _class_names(folder: Path, record: int) -> list[str]:
    file = folder / ("batches.meta.txt" if record == CIFAR10 else "fine_label_names.txt")
    if not file.is_file():
        return []
    return [line.strip() for line in content(file, 1 << 20).decode("utf-8", "replace").splitlines() if line.strip()]
