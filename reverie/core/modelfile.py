"""The two files of a model: tensors as safetensors, everything else as strict JSON. Neither can hold code.

A safetensors file is  n (8 bytes, little-endian) · header (n bytes of JSON) · data,  where the header gives each
tensor's dtype, shape and [begin, end) in the data, which the tensors fill without holes or overlaps. It is written
here with sorted names, so that equal tensors give equal bytes; reading trusts nothing in the header.

Reference: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.errors import BAD_DATA, UserError
from reverie.core.strict_json import parse

HEADER_LIMIT = 8 << 20  # bytes
CONFIG_LIMIT = 8 << 20  # bytes
NAMED = 10  # names listed in an error

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def save_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file. Tensors may share memory or be views; each is stored on its own, in full."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    parts, end = [], 0
    # widest elements first, so that every tensor starts at a multiple of its element size
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name].detach()
        if tensor.dtype not in _NAMES:
            raise ValueError(f"tensor '{name}' has the dtype {tensor.dtype}, which is not stored")
        data = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(data)],
        }
        parts.append(data)
        end += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ValueError(f"a header of {len(text)} bytes is more than the {HEADER_LIMIT} that are read back")
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def load_tensors(data: bytes, *, where: str = "model.safetensors") -> dict[str, Tensor]:
    """The tensors of a safetensors file, each with memory of its own. Raises UserError (exit code 65)."""
    if len(data) < 8 or data[8:9] != b"{":
        raise _not_safetensors(where)
    (size,) = struct.unpack("<Q", data[:8])
    if size > HEADER_LIMIT:
        raise UserError(f"'{where}': a header of {size} bytes is more than the {HEADER_LIMIT} allowed", code=BAD_DATA)
    if size > len(data) - 8:
        raise UserError(f"'{where}' ends inside its header: it is damaged", code=BAD_DATA)
    header = parse(data[8 : 8 + size], where=f"{where} (header)", limit=HEADER_LIMIT)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UserError(f"'{where}': the metadata must be text by name", code=BAD_DATA)
    try:
        return _read(memoryview(data)[8 + size :], header)
    except ValueError as error:
        raise UserError(f"'{where}': {error}", code=BAD_DATA) from error


def _not_safetensors(where: str) -> UserError:
    return UserError(f"'{where}' is not a safetensors file; pickles are never loaded", code=BAD_DATA)


def _read(data: memoryview, header: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every tensor of the header, all of which are held against the data before the first is made."""
    entries = {name: _entry(name, described) for name, described in header.items()}
    expected = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != expected:
            raise ValueError(
                f"tensor '{name[:80]}' begins at byte {begin} where {expected} is next (a hole or an overlap)"
            )
        expected = end
    if expected != len(data):
        raise ValueError(f"the tensors take {expected} bytes where the file has {len(data)}: it is damaged")
    return {name: _tensor(data[begin:end], dtype, shape) for name, (dtype, shape, begin, end) in entries.items()}


def _entry(name: str, described: Any) -> tuple[torch.dtype, list[int], int, int]:
    """(dtype, shape, begin, end), consistent with one another. Raises ValueError."""
    short = name[:80]
    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor '{short}' needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor '{short}' has the dtype {str(dtype)[:20]!r}; allowed: {', '.join(DTYPES)}")
    if not _naturals(shape) or len(shape) > 16:
        raise ValueError(f"tensor '{short}' has a shape that is not a short list of sizes")
    if not _naturals(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor '{short}' has data_offsets that are not two positions")
    size, (begin, end) = math.prod(shape) * DTYPES[dtype].itemsize, offsets
    if end - begin != size:
        raise ValueError(f"tensor '{short}' of {size} bytes is given {end - begin}")
    return DTYPES[dtype], shape, begin, end


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 1 << 48 for n in values)


def _tensor(data: memoryview, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if not len(data):
        if math.prod(n for n in shape if n) >= 1 << 48:
            raise ValueError(f"a shape of {shape} is too large")
        return torch.empty(shape, dtype=dtype)
    if dtype is torch.bool:
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).ne(0).reshape(shape)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def read_config(data: bytes, *, where: str = "config.json") -> dict[str, Any]:
    """A model's `config.json`: one strict JSON object. Raises UserError (exit code 65)."""
    return parse(data, where=where, limit=CONFIG_LIMIT)


def strict_load(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Give a module these weights if they are exactly its own: the same names, shapes and dtypes, and all finite.

    Raises UserError (exit code 65), with the module untouched, that counts what differs and names up to ten.
    """
    own = module.state_dict()
    both = [name for name in own if name in tensors]
    problems = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [name for name in tensors if name not in own],
        "of another shape": [_shapes(n, own[n], tensors[n]) for n in both if own[n].shape != tensors[n].shape],
        "of another dtype": [_dtypes(n, own[n], tensors[n]) for n in both if own[n].dtype != tensors[n].dtype],
        "not finite": [name for name in both if not torch.isfinite(tensors[name]).all()],
    }
    found = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if found:
        raise UserError(f"{where}: the weights do not fit: {'; '.join(found)}", code=BAD_DATA)
    module.load_state_dict(dict(tensors))


def _shapes(name: str, own: Tensor, given: Tensor) -> str:
    return f"{name}: {list(given.shape)} for {list(own.shape)}"


def _dtypes(name: str, own: Tensor, given: Tensor) -> str:
    return f"{name}: {given.dtype} for {own.dtype}".replace("torch.", "")


def _some(names: list[str], most: int = NAMED) -> str:
    return ", ".join(name[:100] for name in names[:most]) + (", …" if len(names) > most else "")
