"""One example, one observation or one mask from a file, in the model's units: a picture of its size, or an .npy array.

Arrays hold native units, but for measurements that are no averages of elements: these have the model's units.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import BAD_DATA, UserError
from reverie.data import Spec, load_like
from reverie.data.decode import read_picture
from reverie.data.limits import Unreadable
from reverie.guidance import Operator


def read_example(path: str | Path, spec: Spec, operator: Operator, *, whole: bool) -> Tensor:
    """What an operator gives for one example (1, *M), or a whole example (1, *shape), in model units.

    Pictures go from black to white over the data's range.
    """
    wanted = tuple(operator.apply(torch.zeros(1, *spec.shape)).shape[1:]) if not whole else tuple(spec.shape)
    if Path(path).suffix.lower() == ".npy":
        values = torch.from_numpy(_array(path).astype(np.float64))
        values = values.reshape(1, *_fitted(values.shape, wanted, spec, path))
        values = spec.scale.encode(values) if whole or _in_units(values, spec, operator) else values.float()
    elif _is_picture(path):
        values = _levels(_picture(path, wanted[0] if len(wanted) == 3 else 1), spec)[None]
    else:
        dataset = load_like(path, spec)
        values = dataset.rows(torch.zeros(1, dtype=torch.int64))
    if tuple(values.shape[1:]) != wanted:
        raise _misfit(values.shape[1:], wanted, spec, path)
    return values


def native(x: Tensor, spec: Spec, operator: Operator | None = None) -> Tensor:
    """The inverse: values (B, …) in native units, neither rounded nor clipped, as `read_example` takes them."""
    if operator is not None and not _in_units(x, spec, operator):
        return x
    shape = (-1, *(1,) * (x.dim() - 2))
    centre, spread = (
        torch.tensor(v, dtype=torch.float64).reshape(shape) for v in (spec.scale.center, spec.scale.spread)
    )
    return centre + spread * x.cpu().double()


def _in_units(y: Tensor, spec: Spec, operator: Operator) -> bool:
    """Whether measurements are in the data's units: averages, and not of channels that differ in theirs."""
    return operator.averages and len(spec.scale.center) in (1, y.shape[1])


def _misfit(shape: tuple[int, ...], wanted: tuple[int, ...], spec: Spec, path: str | Path) -> UserError:
    hint = "; to make the observation from a whole example, add --degrade"
    own = [n for n in shape if n > 1] == [n for n in spec.shape if n > 1] and wanted != tuple(spec.shape)
    return UserError(
        f"'{path}' has the shape {tuple(shape)}, but {wanted} is needed{hint if own else ''}", code=BAD_DATA
    )


def read_mask(path: str | Path, spec: Spec) -> Tensor:
    """1 where a pixel was seen, (*space): the file is not 0 (a picture: brighter than half) where one is missing."""
    if Path(path).suffix.lower() == ".npy":
        missing = torch.from_numpy(_array(path).astype(np.float64)) != 0
    else:
        missing = _picture(path, 1)[0] > 0.5
    shape = tuple(spec.shape)
    if tuple(missing.shape) not in (shape, shape[1:]):
        size, needed = ("×".join(map(str, s)) for s in (missing.shape, shape[1:] or shape))
        raise UserError(f"the mask '{path}' is {size}, but the model's examples are {needed}", code=BAD_DATA)
    return (~missing).float()


def _array(path: str | Path) -> np.ndarray:
    try:
        found = np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"'{path}' is not an .npy array: {error}", code=BAD_DATA) from error
    if not np.issubdtype(found.dtype, np.number) and found.dtype != np.bool_:
        raise UserError(f"'{path}' holds {found.dtype}, not numbers", code=BAD_DATA)
    return found


def _fitted(shape: torch.Size, wanted: tuple[int, ...], spec: Spec, path: str | Path) -> tuple[int, ...]:
    """The shape with axes of length 1 left out or put in as the wanted one has them."""
    if [n for n in shape if n > 1] != [n for n in wanted if n > 1]:
        raise _misfit(shape, wanted, spec, path)
    return wanted


def _is_picture(path: str | Path) -> bool:
    return Path(path).suffix.lower() in (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def _picture(path: str | Path, channels: int) -> Tensor:
    """A picture as shares of white, (channels, H, W)."""
    try:
        pixels = read_picture(Path(path).read_bytes()).pixels
    except Unreadable as reason:
        raise UserError(f"'{path}': {reason}", code=BAD_DATA) from reason
    largest = 1.0 if pixels.dtype.kind in "bf" else float(np.iinfo(pixels.dtype).max)
    values = torch.from_numpy(pixels.astype(np.float64) / largest)
    values = values[None] if values.dim() == 2 else values.permute(2, 0, 1)
    if channels == 1 and len(values) > 1:
        values = values[: 3 if len(values) > 2 else 1].mean(0, keepdim=True)
    if len(values) > channels:
        values = values[:channels]
    return values.expand(channels, -1, -1) if len(values) == 1 else values


def _levels(share: Tensor, spec: Spec) -> Tensor:
    """Shares of white → model units."""
    if spec.scale.low is None or spec.scale.high is None:
        raise UserError("these data have no black and white; give the input as an .npy array in their own units")
    native = spec.scale.low + share * (spec.scale.high - spec.scale.low)
    return spec.scale.encode(native[None])[0]
