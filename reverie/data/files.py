"""Examples that are one file each: decoded once and kept where they fit in memory, else read again when asked for.

Every file is decoded before training starts, so that a damaged one is known by name after minutes and not after hours.
A file that vanishes or changes later is replaced by the next one that reads, which is said once for each file.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import INPUT_OUTPUT, UserError
from reverie.data.base import Dataset, Spec
from reverie.data.layout import to_model
from reverie.data.limits import Unreadable, budget
from reverie.data.progress import mapped, workers
from reverie.data.report import Report
from reverie.data.sources import Item
from reverie.data.stored import describe_rows, stored

Decode = Callable[[Item], np.ndarray]  # the example in the file's layout, or Unreadable
PORTION = 64  # examples measured in one go
PATIENCE = 1000  # files tried in place of one that no longer reads


class Files(Dataset):
    """Examples decoded on demand by a few threads; as many as fit in the budget stay in memory."""

    def __init__(self, items: Sequence[Item], decode: Decode, spec: Spec, report: Report) -> None:
        self.spec, self.report = spec, report
        self._items, self._decode = items, decode
        self._kept: dict[int, np.ndarray] = {}
        self._room = budget() // 2
        self._coming: dict[int, Future[np.ndarray]] = {}
        self._pool = ThreadPoolExecutor(workers(), "reverie-read")
        self._lost: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def native(self, index: Tensor) -> Tensor:
        wanted = index.tolist()
        self.ahead(index)
        rows = np.stack([self._get(i) for i in wanted])
        return torch.from_numpy(np.ascontiguousarray(to_model(rows, self.spec.layout)))

    def rows(self, index: Tensor) -> Tensor:
        return self.spec.scale.encode(self.native(index))

    def ahead(self, index: Tensor) -> None:
        for i in index.tolist():
            if i not in self._kept and i not in self._coming:
                self._coming[i] = self._pool.submit(self._read, i)

    def _get(self, i: int) -> np.ndarray:
        if i in self._kept:
            return self._kept[i]
        coming = self._coming.pop(i, None)
        row = self._read(i) if coming is None else coming.result()
        if self._room >= row.nbytes:
            self._room -= row.nbytes
            self._kept[i] = row
        return row

    def _read(self, i: int) -> np.ndarray:
        """Example i, or the next one that reads where i no longer does."""
        for step in range(min(PATIENCE, len(self._items))):
            item = self._items[(i + step) % len(self._items)]
            try:
                return self._decode(item)
            except Unreadable as reason:
                self._miss((i + step) % len(self._items), item.name, str(reason))
        raise UserError(
            f"'{self.report.path}' can no longer be read: {PATIENCE} files in a row are gone", code=INPUT_OUTPUT
        )

    def _miss(self, i: int, name: str, reason: str) -> None:
        with self._lock:
            if i in self._lost:
                return
            self._lost.add(i)
        self.report.remark("no longer readable, another is shown instead", name)
        print(f"{name}: {reason}; another example is shown instead", file=sys.stderr, flush=True)


def gather(
    items: Sequence[Item],
    decode: Decode,
    report: Report,
    *,
    shape: tuple[int, ...],
    dtype: np.dtype,
    **details: Any,
) -> tuple[Dataset, list[Item]]:
    """The dataset of all items that decode to an example of this shape and type, and those items.

    The others go into the report with their reason. `details` are those of `stored` (format, name, layout, …).
    """
    if len(items) * int(np.prod(shape)) * dtype.itemsize <= budget():
        native, used = _kept(items, decode, report, shape, dtype)
        report.used = len(used)
        report.hold()
        return stored(native, report, **details), used
    used = []
    chunks = _chunks(items, decode, report, used)
    first = next(chunks)
    spec = describe_rows(first, chunks, report, **details)
    report.used = len(used)
    report.hold()
    report.note("larger than memory: files are read again when they are needed")
    return Files(used, decode, spec, report), used


def _tried(items: Sequence[Item], decode: Decode, report: Report) -> Iterator[tuple[Item, np.ndarray]]:
    """Every item that decodes, with its example; reasons for the others go into the report."""

    def attempt(item: Item) -> np.ndarray | str:
        try:
            return decode(item)
        except Unreadable as reason:
            return str(reason)

    for item, got in zip(items, mapped(attempt, items, "reading files"), strict=True):
        if isinstance(got, str):
            report.refuse(item.name, got)
        else:
            yield item, got


def _kept(
    items: Sequence[Item], decode: Decode, report: Report, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[np.ndarray, list[Item]]:
    native = np.empty((len(items), *shape), dtype)
    used: list[Item] = []
    for item, row in _tried(items, decode, report):
        native[len(used)] = row
        used.append(item)
    return native[: len(used)], used


def _chunks(items: Sequence[Item], decode: Decode, report: Report, used: list[Item]) -> Iterator[np.ndarray]:
    """Examples in portions; appends to `used` as it goes. Raises UserError if none can be read."""
    portion: list[np.ndarray] = []
    for item, row in _tried(items, decode, report):
        used.append(item)
        portion.append(row)
        if len(portion) == PORTION:
            yield np.stack(portion)
            portion = []
    if portion:
        yield np.stack(portion)
    if not used:
        report.hold()
