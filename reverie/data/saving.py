"""Samples → files in the data's own format, units and type; existing files are never overwritten.

What is written, by `Spec.format`:
    png, tiff          one file a sample, 000000.png …, in a folder for each class if labels are given, and a table
    wav                the same                          conditions.csv of the values they were conditioned on
    npy, npz, idx      one array, with the labels (npz: and conditions) as they came
    cifar              one batch of records
    csv, tsv, jsonl    one row a sample, with the columns of labels and conditions, all named as they were
    parquet, ts        the same
Reading what was saved gives a data set of the same spec.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from reverie.core.errors import BAD_DATA, INPUT_OUTPUT, UserError, unknown
from reverie.data import lines
from reverie.data.base import Spec
from reverie.data.encode import encode_picture
from reverie.data.layout import from_model

SUFFIXES = {f".{name}": name for name in ("png", "tiff", "npy", "npz", "csv", "tsv", "jsonl", "parquet", "ts", "wav")}
SUFFIXES[".tif"] = "tiff"


@dataclass(frozen=True)
class Batch:
    """Samples in native units and the file's layout (N, …), their labels and conditions, the number of the first."""

    native: np.ndarray
    labels: np.ndarray | None
    given: Mapping[str, float]
    spec: Spec
    first: int

    @property
    def names(self) -> list[str] | None:
        """The class of each sample."""
        return None if self.labels is None else [self.spec.classes[k] for k in self.labels.tolist()]

    @property
    def conditions(self) -> dict[str, np.ndarray]:
        """The values that all samples were conditioned on, (N,) or (N, K) by the name the data have for them."""
        found: dict[str, list[float]] = {}
        for name, value in self.given.items():
            found.setdefault(name.split("[")[0], []).append(value)
        vectors = {name.split("[")[0] for name in self.given if "[" in name}
        whole = self.spec.extra.get("whole", [])
        tables = {name: np.tile(np.array(values), (len(self.native), 1)) for name, values in found.items()}
        tables = {k: v.astype(np.int64) if k in whole and (v == np.rint(v)).all() else v for k, v in tables.items()}
        return {name: table if name in vectors else table[:, 0] for name, table in tables.items()}


Files = dict[str, bytes]  # relative name → content


def save(
    samples: Tensor,
    spec: Spec,
    target: str | Path,
    *,
    labels: Tensor | Sequence[int] | None = None,
    given: Mapping[str, float] | None = None,
    first: int = 0,
    format: str = "",
) -> list[Path]:
    """Write samples (N, *shape) in model units as files; returns their paths.

    `target` is a folder (made if need be), or one file where the format is one array or table, or for one picture; its
    suffix then decides the format. `labels` are numbers of `spec.classes`, `given` the values of `spec.conditions` that
    all samples have. Sample i has number first + i. `format` overrides the data's own. Raises UserError if a file
    exists, the format cannot hold the samples, or they are not finite.
    """
    target = Path(target)
    by_name = SUFFIXES.get(target.suffix.lower(), "")
    format = format or by_name or spec.format
    if format not in WRITERS:
        raise unknown("format to save in", format, WRITERS)
    if tuple(samples.shape[1:]) != spec.shape:
        raise UserError(
            f"samples of shape {tuple(samples.shape[1:])} are not of the data's shape {spec.shape}", code=BAD_DATA
        )
    native = from_model(spec.scale.decode(samples).numpy(), spec.layout)
    numbers = None if labels is None else np.asarray(labels, dtype=np.int64)
    if numbers is not None and (len(numbers) != len(native) or numbers.max(initial=0) >= len(spec.classes)):
        raise UserError(f"labels must be one of {len(spec.classes)} classes for each of {len(native)} samples")
    made = WRITERS[format](Batch(native, numbers, given or {}, spec, first))
    if by_name:
        if len(made) > 1 and not any(Path(name).name.startswith("samples") for name in made):
            raise UserError(f"{len(made)} samples do not fit in one file '{target}'; name a folder")
        named = {target.with_name(_beside(name, target)): content for name, content in made.items()}
    else:
        named = {target / name: content for name, content in made.items()}
    return _write(named)


def _beside(name: str, target: Path) -> str:
    """`samples_labels.npy` beside `samples.npy` follows the name that the user gave."""
    stem = Path(name).name
    return stem.replace("samples", target.stem, 1) if stem.startswith("samples_") else target.name


def _write(named: dict[Path, bytes]) -> list[Path]:
    there = [path for path in named if path.exists()]
    if there:
        raise UserError(f"'{there[0]}' exists and is not overwritten; name another place", code=INPUT_OUTPUT)
    try:
        for path, content in named.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as file:
                file.write(content)
    except OSError as error:
        raise UserError(f"cannot write '{error.filename}': {error.strerror}", code=INPUT_OUTPUT) from error
    return list(named)


def folder_name(name: str) -> str:
    """A class name as the name of a folder: what would leave the folder or hide it is replaced.

    >>> folder_name("../a/b"), folder_name("cat")
    ('_.-a-b', 'cat')
    """
    safe = "".join(c if c.isprintable() and c not in '/\\:*?"<>|\0' else "-" for c in name).strip() or "_"
    return ("_" + safe[1:] if safe[0] == "." else safe)[:80]


def _pictures(batch: Batch, format: str) -> Files:
    mode = batch.spec.mode
    native = batch.native
    if batch.spec.layout == "CHW":
        native = np.moveaxis(native, 1, -1)
    if native.ndim == 4 and native.shape[-1] == 1:
        native = native[..., 0]
    if native.ndim not in (3, 4) or batch.spec.kind != "image":
        raise UserError(f"samples of kind {batch.spec.kind} are no pictures; save them as npy")
    suffix = {"png": "png", "tiff": "tif"}[format]
    return _each(batch, suffix, [encode_picture(pixels, format, mode) for pixels in native])


def npy_bytes(array: np.ndarray) -> bytes:
    """An `.npy` file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _label_values(batch: Batch) -> np.ndarray:
    """Labels as the data have them: numbers of classes, the numbers that name the classes, or text."""
    names, how = batch.names or [], str(batch.spec.extra.get("labels", "text"))
    if how == "index":
        return np.asarray(batch.labels)
    if how in ("text", "folders"):
        return np.array(names, dtype=str)
    return np.array([float(n) for n in names]).astype(how if how in np.sctypeDict else np.int64)


def _npy(batch: Batch) -> Files:
    if batch.spec.extra.get("pieces"):
        return _each(batch, "npy", map(npy_bytes, batch.native))
    made = {"samples.npy": npy_bytes(batch.native)}
    if batch.labels is not None:
        made["samples_labels.npy"] = npy_bytes(_label_values(batch))
    return made


def _npz(batch: Batch) -> Files:
    keys = [str(k) for k in batch.spec.extra.get("keys", ["x", "y"])]
    arrays = {keys[0]: batch.native}
    if batch.labels is not None:
        arrays[keys[1]] = _label_values(batch)
        if batch.spec.extra.get("labels") == "index":
            arrays["class_names"] = np.array(batch.spec.classes, dtype=str)
    arrays |= batch.conditions
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return {"samples.npz": out.getvalue()}


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file: type and axes, then big-endian values."""
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    code = array.dtype.str[1:]
    if code not in codes:
        raise UserError(f"IDX files cannot hold {array.dtype}; save as npy")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, codes[code], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def _idx(batch: Batch) -> Files:
    made = {f"samples-images-idx{batch.native.ndim}-ubyte": idx_bytes(batch.native)}
    if batch.labels is not None:
        made["samples-labels-idx1-ubyte"] = idx_bytes(_label_values(batch).astype(np.uint8))
    return made


def _cifar(batch: Batch) -> Files:
    record = int(batch.spec.extra.get("record", 3073))
    labels = np.zeros(len(batch.native), np.uint8) if batch.labels is None else batch.labels.astype(np.uint8)
    head = np.zeros((len(labels), record - 3072), np.uint8)
    head[:, -1] = labels
    table = np.concatenate((head, batch.native.reshape(len(labels), -1)), 1)
    made = {"data_batch_1.bin" if record == 3073 else "train.bin": table.tobytes()}
    if batch.spec.extra.get("labels") == "index":
        names = "batches.meta.txt" if record == 3073 else "fine_label_names.txt"
        made[names] = ("\n".join(batch.spec.classes) + "\n").encode()
    return made


def _sounds(batch: Batch) -> Files:
    if batch.spec.kind != "signal":
        raise UserError(f"samples of kind {batch.spec.kind} are no sounds; save them as npy")
    frames = np.moveaxis(batch.native, 1, -1) if batch.spec.layout == "CL" else batch.native
    return _each(batch, "wav", [lines.sound(one, batch.spec) for one in frames])


def _each(batch: Batch, suffix: str, contents: Iterable[bytes]) -> Files:
    """A file for each sample, in a folder for each class if there are labels; a table of their conditions beside."""
    parts = [""] * len(batch.native) if batch.names is None else [folder_name(n) + "/" for n in batch.names]
    names = [f"{part}{batch.first + i:06d}.{suffix}" for i, part in enumerate(parts)]
    made = dict(zip(names, contents, strict=True))
    if batch.given:
        columns = {"file": names} | {name: values.tolist() for name, values in batch.conditions.items()}
        made["conditions.csv"] = lines.separated(list(columns), list(columns.values()))
    return made


def _rows(write: Callable[..., bytes], suffix: str, **options: str) -> Callable[[Batch], Files]:
    """A writer of one file with a row for each sample."""

    def made(batch: Batch) -> Files:
        if batch.native.ndim != 2:
            raise UserError(f"samples of shape {batch.spec.shape} are no rows of numbers; save them as npy")
        beside = {name: values.tolist() for name, values in batch.conditions.items()}
        if batch.labels is not None:
            beside[str(batch.spec.extra.get("label") or "label")] = _label_values(batch).tolist()
        return {f"samples.{suffix}": write(batch.native, beside, batch.spec, **options)}

    return made


def _series(batch: Batch) -> Files:
    if batch.spec.kind != "signal":
        raise UserError(f"samples of kind {batch.spec.kind} are no signals; save them as npy")
    native = np.moveaxis(batch.native, 1, -1) if batch.spec.layout == "LC" else batch.native
    return {"samples.ts": lines.series(native, batch.names, batch.spec)}


WRITERS: dict[str, Callable[[Batch], Files]] = {
    "png": lambda batch: _pictures(batch, "png"),
    "tiff": lambda batch: _pictures(batch, "tiff"),
    "npy": _npy,
    "npz": _npz,
    "idx": _idx,
    "cifar": _cifar,
    "csv": _rows(lines.delimited, "csv"),
    "tsv": _rows(lines.delimited, "tsv", delimiter="\t"),
    "jsonl": _rows(lines.json_lines, "jsonl"),
    "parquet": _rows(lines.parquet, "parquet"),
    "ts": _series,
    "wav": _sounds,
}
