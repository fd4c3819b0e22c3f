"""Between native units (bytes, counts, millivolts) and model units: the only place where ranges are handled.

    z = (v − center) / spread        per channel, v native, z in model units
Bounded data (integers of a known depth, or a known range) are mapped onto [−1, 1]: a byte b becomes 2b/255 − 1, and on
the way back values are snapped to the nearest level and clipped to the bounds. Unbounded data are standardised per
channel and never clipped. The arithmetic is exact enough that every level of 8- and 16-bit data survives the way there
and back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from reverie.core.errors import BAD_DATA, NON_FINITE, UserError, unknown

DTYPES = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.uint16,
    "int16": torch.int16,
    "uint32": torch.uint32,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Scale:
    """The affine map z = (v − center)/spread per channel, with the bounds and levels of v where there are any.

    `center` and `spread` have one entry for all channels or one for each; the channel is axis 1 of a batch.
    `low`, `high`: native bounds, None if unbounded. `bins`: number of equally spaced levels from low to high, None if
    the data are not discrete on a bounded grid. `dtype`: the native type, to which `decode` returns.

    >>> byte = Scale.bounded(0, 255, "uint8", bins=256)
    >>> byte.encode(torch.tensor([[0, 255]], dtype=torch.uint8)).tolist()
    [[-1.0, 1.0]]
    >>> byte.decode(torch.tensor([[-1.7, 0.0, 1.0]])).tolist()
    [[0, 128, 255]]
    """

    center: tuple[float, ...] = (0.0,)
    spread: tuple[float, ...] = (1.0,)
    low: float | None = None
    high: float | None = None
    bins: int | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not '{self.dtype}'")
        if len(self.center) != len(self.spread) or not self.center:
            raise ValueError("center and spread must have the same number of channels, at least 1")
        if not all(map(math.isfinite, self.center)) or not all(math.isfinite(s) and s > 0 for s in self.spread):
            raise ValueError("center must be finite, and spread finite and positive")
        if self.bins is not None and (self.bins < 2 or self.low is None or self.high is None):
            raise ValueError("bins must be at least 2 and needs both low and high")

    @classmethod
    def bounded(cls, low: float, high: float, dtype: str, *, bins: int | None = None) -> Scale:
        """The map of [low, high] onto [−1, 1], the same for all channels."""
        if not high > low:
            raise ValueError(f"the upper bound {high:g} must exceed the lower bound {low:g}")
        return cls(((low + high) / 2,), ((high - low) / 2,), float(low), float(high), bins, dtype)

    @property
    def is_discrete(self) -> bool:
        """Whether native values are whole numbers or lie on a grid of `bins` levels."""
        return self.bins is not None or not self.dtype.startswith("float")

    def encode(self, native: Tensor) -> Tensor:
        """Native values (B, C, ...) of any dtype → float32 in model units, (v − center)/spread."""
        exact = torch.float64 if self.dtype in ("float64", "int32", "uint32", "int64") else torch.float32
        values = native.to(exact)
        center, spread = self._shaped(self.center, values), self._shaped(self.spread, values)
        return (values - center).div_(spread).to(torch.float32)

    def decode(self, model: Tensor) -> Tensor:
        """Model units → native dtype: v = center + spread z, snapped and clipped only where the data are bounded.

        Raises UserError if a value is not finite: such a sample is never written as data.
        """
        values = model.detach().to("cpu", torch.float64)
        if not bool(torch.isfinite(values).all()):
            raise UserError("the samples hold values that are not finite and cannot be saved", code=NON_FINITE)
        values = values * self._shaped(self.spread, values) + self._shaped(self.center, values)
        if self.bins is not None and self.low is not None and self.high is not None:
            step = (self.high - self.low) / (self.bins - 1)
            values = ((values - self.low) / step).round().clamp_(0, self.bins - 1) * step + self.low
        if self.low is not None or self.high is not None:
            values = values.clamp(self.low, self.high)
        return self._typed(values)

    def _typed(self, values: Tensor) -> Tensor:
        target = DTYPES[self.dtype]
        if target.is_floating_point:
            return values.to(target)
        if target is torch.bool:
            return values >= 0.5
        bounds = torch.iinfo(target)
        return values.round().clamp_(bounds.min, bounds.max).to(torch.int64).to(target)

    @staticmethod
    def _shaped(numbers: tuple[float, ...], like: Tensor) -> Tensor:
        """The numbers as a tensor that broadcasts along axis 1 of `like`."""
        return torch.tensor(numbers, dtype=like.dtype, device=like.device).reshape(-1, *(1,) * max(like.dim() - 2, 0))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings, the inverse of `from_json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scale:
        """Raises UserError if the entries are not exactly those of a scale."""
        known = [field.name for field in fields(cls)]
        for name in set(value).difference(known) if isinstance(value, Mapping) else ():
            raise unknown("entry of the data's scale", name, known)
        try:
            bins = value["bins"]
            return cls(
                tuple(float(c) for c in value["center"]),
                tuple(float(s) for s in value["spread"]),
                None if value["low"] is None else float(value["low"]),
                None if value["high"] is None else float(value["high"]),
                None if bins is None else int(bins),
                str(value["dtype"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the data's scale cannot be read from the model file: {error}", code=BAD_DATA) from error
