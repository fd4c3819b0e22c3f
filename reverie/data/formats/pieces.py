"""Arrays, one `.npy` file an example: all of one shape and type, decoded like pictures."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np

from reverie.core.errors import UserError
from reverie.data.base import Dataset
from reverie.data.files import gather
from reverie.data.formats.arrays import header
from reverie.data.limits import Unreadable, product
from reverie.data.progress import mapped
from reverie.data.report import Report
from reverie.data.sources import Item


def shape_of(data: bytes, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that the header says, held against the length. Raises Unreadable."""
    try:
        file = io.BytesIO(data)
        shape, _, dtype = header(file, name)
        wanted = product(shape, dtype.itemsize, name)
    except UserError as error:
        raise Unreadable(str(error).removeprefix(f"'{name}' ")) from error
    if wanted != len(data) - file.tell() or not wanted:
        raise Unreadable(f"damaged: its header says {shape}, but {len(data) - file.tell():,} bytes follow")
    return shape, dtype


def read_piece(data: bytes, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array in the file. Raises Unreadable if it is not of this shape and type."""
    there = shape_of(data, name)
    if there != (shape, dtype):
        raise Unreadable(f"{there[1]} of shape {there[0]}, unlike the others ({dtype}, {shape})")
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False).astype(dtype.newbyteorder("="))


def open_pieces(
    items: Sequence[Item], report: Report, *, name: str, layout: str = "", bounds: tuple[float, float] | None = None
) -> tuple[Dataset, list[Item]]:
    """Arrays of the most common shape and type, and the items that are used; the others go into the report."""

    def look(item: Item) -> tuple[tuple[int, ...], np.dtype] | str:
        try:
            return shape_of(item.read(), item.name)
        except Unreadable as reason:
            return str(reason)

    good, kinds = [], []
    for item, kind in zip(items, mapped(look, items, "looking at arrays"), strict=True):
        if isinstance(kind, str):
            report.refuse(item.name, kind)
        else:
            good.append(item)
            kinds.append(kind)
    if not good:
        report.hold()
    shape, dtype = Counter(kinds).most_common(1)[0][0]
    data, used = gather(
        good,
        lambda item: read_piece(item.read(), item.name, shape, dtype),
        report,
        shape=shape,
        dtype=dtype.newbyteorder("="),
        format="npy",
        name=name,
        layout=layout,
        bounds=bounds,
        extra={"pieces": True},
    )
    report.formats["NPY"] = len(used)
    report.sizes["×".join(map(str, shape))] = len(used)
    return data, used
