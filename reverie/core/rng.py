"""Randomness as a function: every draw is determined by (seed, keys, example, element) and by nothing else.

An `Rng` is a value, not a machine with a state: drawing twice from the same one gives the same numbers, and
`fork(*keys)` names another stream. Example i of a batch draws from stream i, so what it gets does not depend on
the batch size, the rank, the device or what was drawn before. The bits are the 64-bit finaliser of SplitMix64
(Steele, Lea & Flood 2014) over counter and key, in integer arithmetic that is exact on every device; normals
come from them by Box–Muller. Not for cryptography.

>>> import torch
>>> a = Rng(0).fork("eps").normal(torch.empty(4, 3))
>>> b = Rng(0).fork("eps").normal(torch.empty(2, 3))
>>> bool((a[:2] == b).all())
True
"""

from __future__ import annotations

import functools
import hashlib
import math
import sys
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Whole: TypeAlias = NDArray[np.int64]
Numbers = TypeVar("Numbers", Tensor, NDArray[Any])

# Which of the two 32-bit words of an int64 in memory is the upper one.
_UPPER = 1 if sys.byteorder == "little" else 0
_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_M1, _M2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(x: int) -> int:
    """The int64 with the bits of an unsigned 64-bit number."""
    x &= _MASK
    return x - (1 << 64) if x >> 63 else x


_SM1, _SM2, _SGAMMA = _signed(_M1), _signed(_M2), _signed(_GAMMA)


def _mix_int(z: int) -> int:
    z = ((z ^ (z >> 30)) * _M1) & _MASK
    z = ((z ^ (z >> 27)) * _M2) & _MASK
    return z ^ (z >> 31)


def _mix(z: Numbers) -> Numbers:
    """The same bits as `_mix_int`, elementwise and in place; `>>` on int64 is arithmetic, hence the masks.

    Of arrays as of tensors: on the CPU a call of NumPy costs half of torch's, which is most of a small draw.
    """
    z ^= (z >> 30) & ((1 << 34) - 1)
    z *= _SM1
    z ^= (z >> 27) & ((1 << 37) - 1)
    z *= _SM2
    z ^= (z >> 31) & ((1 << 33) - 1)
    return z


def _scale(upper: Numbers, lower: Numbers) -> tuple[Numbers, Numbers]:
    """(upper + ½)/2³² and 2π lower/2³², in place."""
    upper += 0.5
    upper *= 2.0**-32
    lower *= 2 * math.pi * 2.0**-32
    return upper, lower


@functools.lru_cache(maxsize=4096)
def _word(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


@functools.lru_cache(maxsize=32)
def _counters(count: int) -> Whole:
    return np.arange(1, count + 1) * _SGAMMA


@functools.lru_cache(maxsize=32)
def _counters_on(count: int, device: torch.device) -> Tensor:
    return torch.from_numpy(_counters(count)).to(device)


class Rng:
    """A stream of random numbers per example, named by a seed and keys.

    `examples` are the global numbers of the rows (default 0, 1, 2, …): a shard, a chunk or a resumed run passes
    its own and draws what the whole would have drawn.
    """

    __slots__ = ("_examples", "_key")

    def __init__(self, seed: int = 0) -> None:
        self._key = _mix_int((int(seed) * _GAMMA + 0x5851F42D4C957F2D) & _MASK)
        self._examples: Whole | int = 0

    def _derived(self, key: int, examples: Whole | int) -> Rng:
        child = object.__new__(Rng)
        child._key, child._examples = key, examples
        return child

    def fork(self, *keys: int | str) -> Rng:
        """Another, independent stream for the same examples: `rng.fork("eps", step)`."""
        state = self._key
        for key in keys:
            word = _word(key) if isinstance(key, str) else int(key) & _MASK
            state = _mix_int((state ^ _mix_int((word + _GAMMA) & _MASK)) + _GAMMA & _MASK)
        return self._derived(state, self._examples)

    def at(self, examples: Tensor | int) -> Rng:
        """The same streams for other rows: their global numbers (B,) int64, or the number of the first row."""
        if isinstance(examples, Tensor):
            return self._derived(self._key, examples.to("cpu", torch.int64).numpy())
        return self._derived(self._key, examples)

    def numbers(self, rows: int) -> Tensor:
        """The global numbers of the first `rows` examples, (rows,) int64."""
        return torch.from_numpy(self._numbers(rows))

    def _numbers(self, rows: int) -> Whole:
        first = self._examples
        number = np.arange(first, first + rows) if isinstance(first, int) else first[:rows]
        if number.shape[0] != rows:
            raise ValueError(f"this Rng names {number.shape[0]} examples, but {rows} rows were asked for")
        return number

    def _keys(self, rows: int) -> Whole:
        """A key for each example, (rows, 1)."""
        if rows == 1:
            first = int(self._numbers(1)[0])
            return np.array([[_signed(_mix_int((first * _GAMMA + self._key) & _MASK))]])
        return _mix(self._numbers(rows) * _SGAMMA + _signed(self._key))[:, None]

    def _bits(self, rows: int, count: int, device: torch.device) -> Tensor:
        """64 random bits for each of `count` elements of `rows` examples: (rows, count) int64."""
        keys = self._keys(rows)
        if device.type == "cpu":
            return torch.from_numpy(_mix(_counters(count) + keys))
        return _mix(_counters_on(count, device) + torch.from_numpy(keys).to(device))

    def _polar(self, rows: int, count: int, device: torch.device, double: bool) -> tuple[Tensor, Tensor]:
        """u in (0, 1) and an angle in [0, 2π) for each element, (rows, count) each, from 32 of its bits each."""
        bits = self._bits(rows, count, device)
        if device.type != "cpu":
            real = torch.float64 if double else torch.float32
            return _scale(((bits >> 32) & 0xFFFFFFFF).to(real), (bits & 0xFFFFFFFF).to(real))
        words, kind = bits.numpy().view(np.uint32), np.float64 if double else np.float32
        u, angle = _scale(words[:, _UPPER::2].astype(kind), words[:, 1 - _UPPER :: 2].astype(kind))
        return torch.from_numpy(u), torch.from_numpy(angle)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers with the shape (B, *D), dtype and device of `like`.

        Box–Muller: n₁ = √(−2 log u) cos(2πv), n₂ = √(−2 log u) sin(2πv), with u, v of 32 bits each.
        """
        rows, count = like.shape[0], math.prod(like.shape[1:])
        if not rows * count:
            return torch.empty_like(like)
        u, angle = self._polar(rows, (count + 1) // 2, like.device, like.dtype == torch.float64)
        radius = u.log_().mul_(-2).sqrt_()
        out = torch.cat((angle.cos().mul_(radius), angle.sin_().mul_(radius)), 1)
        return (out[:, :count] if count % 2 else out).reshape(like.shape).to(like.dtype)

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Uniform numbers in (0, 1): (rows, *shape) float64 on the CPU, 52 bits each."""
        bits = self._bits(rows, math.prod(shape), torch.device("cpu"))
        u = (bits >> 12).bitwise_and_((1 << 52) - 1).to(torch.float64).add_(0.5).mul_(2.0**-52)
        return u.reshape(rows, *shape)

    def integers(self, rows: int, high: int) -> Tensor:
        """Uniform whole numbers in {0, …, high − 1}: (rows,) int64 on the CPU."""
        return (self.uniform(rows) * high).to(torch.int64).clamp_(max=high - 1)

    def rademacher(self, like: Tensor) -> Tensor:
        """Signs ±1, each with probability ½, like `like`."""
        bits = self._bits(like.shape[0], math.prod(like.shape[1:]), like.device)
        return (bits < 0).to(like.dtype).mul_(-2).add_(1).reshape(like.shape)
