"""Examples that lie in one array: in memory, on the device, or mapped from a file larger than memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import BAD_DATA, UserError
from reverie.data.base import Dataset, Spec
from reverie.data.layout import layout_of, model_shape, to_model
from reverie.data.limits import MIB, budget
from reverie.data.measure import check_dtype, choose_scale, describe, measure, with_moments
from reverie.data.report import Report

CHUNK = 32 * MIB  # bytes of native values looked at in one go
FULL_PASS = 2048 * MIB  # larger arrays are measured on evenly spaced examples
ON_DEVICE = 0.25  # share of an accelerator's free memory that data may take


class Stored(Dataset):
    """Examples in an array (N, …) of native values in the file's layout; encoded when asked for."""

    def __init__(self, native: np.ndarray, spec: Spec, report: Report) -> None:
        self.spec, self.report = spec, report
        rows = to_model(native, spec.layout)
        self.mapped = isinstance(native, np.memmap)
        self._rows = rows if self.mapped else _tensor(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def native(self, index: Tensor) -> Tensor:
        if isinstance(self._rows, np.ndarray):
            return _tensor(self._rows[index.numpy()])
        return self._rows[index.to(self._rows.device)]

    def rows(self, index: Tensor) -> Tensor:
        return self.spec.scale.encode(self.native(index))

    def on(self, device: str | torch.device) -> Dataset:
        device = torch.device(device)
        if device.type == "cuda" and isinstance(self._rows, Tensor):
            free = torch.cuda.mem_get_info(device)[0]
            if self._rows.numel() * self._rows.element_size() < ON_DEVICE * free:
                self._rows = self._rows.to(device)
        return self

    def twins(self) -> Tensor | None:
        """Equal numbers for equal examples; None if the array is mapped from disk."""
        return None if isinstance(self._rows, np.ndarray) else same(self._rows)


def _tensor(rows: np.ndarray) -> Tensor:
    """A tensor of contiguous rows in native byte order that owns its memory or shares an ordinary array's."""
    rows = np.ascontiguousarray(rows)
    if rows.dtype.byteorder not in ("=", "|") or not rows.flags.writeable:
        rows = rows.astype(rows.dtype.newbyteorder("="))
    return torch.from_numpy(rows)


def same(rows: Tensor) -> Tensor:
    """(N,) int64: the number of the first example with the same bytes, by a 64-bit linear hash of its words."""
    data = rows.cpu().contiguous().view(torch.uint8).reshape(len(rows), -1).numpy()
    padded = np.zeros((len(data), -(-data.shape[1] // 8) * 8), np.uint8) if data.shape[1] % 8 else data
    if padded is not data:
        padded[:, : data.shape[1]] = data
    words = np.ascontiguousarray(padded).view(np.uint64)
    keys = np.random.Generator(np.random.PCG64(0)).integers(0, 2**64, words.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes = np.concatenate([(words[i : i + 4096] * keys).sum(1, dtype=np.uint64) for i in range(0, len(words), 4096)])
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return torch.from_numpy(first[inverse.reshape(-1)].astype(np.int64))


def stored(
    native: np.ndarray,
    report: Report,
    *,
    format: str,
    name: str,
    layout: str = "",
    bounds: tuple[float, float] | None = None,
    **details: object,
) -> Stored:
    """A dataset from an array (N, …): its kind, range and statistics are found out and said.

    `details` are further entries of the `Spec` (mode, rate, classes, extra …).
    """
    if native.ndim < 1 or not native.size:
        raise UserError(f"'{report.path}' holds no examples: its shape is {native.shape}", code=BAD_DATA)
    picked = np.linspace(0, len(native) - 1, min(len(native), 64)).astype(int)
    first, shape = np.asarray(native[picked]), native.shape[1:]
    spec = _described(
        first, lambda layout: _chunks(native, layout, report), report, format, name, layout, bounds, details
    )
    if not report.found:
        report.found = report.used = len(native)
        report.sizes["×".join(map(str, shape)) or "1"] = len(native)
    return Stored(native, spec, report)


def describe_rows(
    first: np.ndarray,
    rest: Iterator[np.ndarray],
    report: Report,
    *,
    format: str,
    name: str,
    layout: str = "",
    bounds: tuple[float, float] | None = None,
    **details: object,
) -> Spec:
    """The spec of examples that come in pieces (n, …) in the file's layout: the first of them, and the rest."""

    def chunks(layout: str) -> Iterator[np.ndarray]:
        yield to_model(first, layout)
        yield from (to_model(piece, layout) for piece in rest)

    return _described(first, chunks, report, format, name, layout, bounds, details)


def _described(
    sample: np.ndarray,
    chunks: Callable[[str], Iterator[np.ndarray]],
    report: Report,
    format: str,
    name: str,
    layout: str,
    bounds: tuple[float, float] | None,
    details: dict[str, object],
) -> Spec:
    """Kind and layout from a sample, range and moments from all chunks (which come channels first)."""
    dtype = check_dtype(sample.dtype, report.path)
    kind, layout = layout_of(sample.shape[1:], sample.dtype, sample, layout)
    stats = measure(chunks(layout), where=report.path)
    flat = kind in ("vector", "points") and math.prod(sample.shape[1:]) >= 64
    columns = cast("tuple[str, ...]", details.get("columns", ()))
    pictures = kind in ("image", "volume") or flat
    scale = choose_scale(stats, dtype, report, pictures=pictures, bounds=bounds, columns=columns)
    shape = model_shape(sample.shape[1:], layout)
    spec = Spec(kind, shape, dtype, format, scale, name=name, layout=layout, **details)  # type: ignore[arg-type]
    spec = with_moments(spec, stats)
    describe(stats, spec, report)
    return spec


def _chunks(native: np.ndarray, layout: str, report: Report) -> Iterator[np.ndarray]:
    """All examples in pieces, or evenly spaced ones from an array too large to be read whole at every start."""
    row = max(1, native[:1].nbytes)
    step = max(1, native.nbytes // FULL_PASS)
    if step > 1:
        report.note(f"measured on every {step}th example ({native.nbytes / MIB:,.0f} MiB in all)")
    rows = max(1, CHUNK // row)
    for start in range(0, len(native), rows * step):
        yield to_model(np.asarray(native[start : start + rows * step : step]), layout)


def hold(native: np.ndarray) -> np.ndarray:
    """The array in memory if it fits the budget, else as it is (mapped)."""
    return np.array(native) if isinstance(native, np.memmap) and native.nbytes <= budget() // 2 else native
