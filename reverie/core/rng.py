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
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Whole: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.uint64]
Real: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Numbers = TypeVar("Numbers", Tensor, Real)

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
# The finaliser's constants as arrays of no dimension, which NumPy takes up faster than whole numbers.
_A30, _A27, _A31, _AM1, _AM2 = (np.array(value, np.uint64) for value in (30, 27, 31, _M1, _M2))


def _mix_int(z: int) -> int:
    z = ((z ^ (z >> 30)) * _M1) & _MASK
    z = ((z ^ (z >> 27)) * _M2) & _MASK
    return z ^ (z >> 31)


def _mix(z: Tensor) -> Tensor:
    """The same bits as `_mix_int`, elementwise and in place; `>>` on int64 is arithmetic, hence the masks."""
    z ^= (z >> 30) & ((1 << 34) - 1)
    z *= _SM1
    z ^= (z >> 27) & ((1 << 37) - 1)
    z *= _SM2
    z ^= (z >> 31) & ((1 << 33) - 1)
    return z


def _mix_array(z: Bits) -> Bits:
    """The same of an array: on the CPU a call of NumPy costs half of torch's, which is most of a small draw."""
    z ^= z >> _A30
    z *= _AM1
    z ^= z >> _A27
    z *= _AM2
    z ^= z >> _A31
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
def _counters(count: int) -> Bits:
    return (np.arange(1, count + 1) * _SGAMMA).view(np.uint64)


@functools.lru_cache(maxsize=32)
def _counters_on(count: int, device: torch.device) -> Tensor:
    return torch.from_numpy(_counters(count).view(np.int64)).to(device)


def _bits(keys: Bits, count: int, device: torch.device) -> Tensor:
    """64 random bits for each of `count` elements of every key (K, 1): (K, count) int64."""
    if device.type == "cpu":
        return torch.from_numpy(_mix_array(_counters(count) + keys).view(np.int64))
    return _mix(_counters_on(count, device) + torch.from_numpy(keys.view(np.int64)).to(device))


def _pairs(keys: Bits, count: int, kind: type[np.floating]) -> Tensor:
    """Box–Muller of `count` elements of every key (K, 1), from 32 bits each: (K, 2, count), on the CPU.

    The functions are torch's, whose results differ from NumPy's in the last bit.
    """
    words = _mix_array(_counters(count) + keys).view(np.uint32)
    u, angle = _scale(words[:, _UPPER::2].astype(kind), words[:, 1 - _UPPER :: 2].astype(kind))
    radius, turn = torch.from_numpy(u), torch.from_numpy(angle)
    radius.log_()
    u *= -2
    radius.sqrt_()
    out = np.empty((len(keys), 2, count), kind)
    np.multiply(turn.cos().numpy(), u, out[:, 0])
    np.multiply(turn.sin_().numpy(), u, out[:, 1])
    return torch.from_numpy(out)


def _pairs_on(keys: Bits, count: int, real: torch.dtype, device: torch.device) -> Tensor:
    """The same on another device."""
    bits = _bits(keys, count, device)
    u, angle = _scale(((bits >> 32) & 0xFFFFFFFF).to(real), (bits & 0xFFFFFFFF).to(real))
    radius = u.log_().mul_(-2).sqrt_()
    return torch.stack((angle.cos().mul_(radius), angle.sin_().mul_(radius)), 1)


def _normals(keys: Bits, like: Tensor) -> Tensor:
    """Standard normal numbers for every key (K, 1), as many as an example of `like` has: (K, *D)."""
    shape, count = (len(keys), *like.shape[1:]), math.prod(like.shape[1:])
    if not len(keys) * count:
        return like.new_empty(shape)
    half, double = (count + 1) // 2, like.dtype == torch.float64
    if like.device.type == "cpu":
        out = _pairs(keys, half, np.float64 if double else np.float32)
    else:
        out = _pairs_on(keys, half, torch.float64 if double else torch.float32, like.device)
    if count % 2:
        out = out.reshape(len(keys), -1)[:, :count]
    return out.reshape(shape).to(like.dtype)


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

    def _keys(self, rows: int) -> Bits:
        """A key for each example, (rows, 1)."""
        if rows == 1:
            first = int(self._numbers(1)[0])
            return np.array([[_mix_int((first * _GAMMA + self._key) & _MASK)]], np.uint64)
        return _mix_array((self._numbers(rows) * _SGAMMA + _signed(self._key)).view(np.uint64))[:, None]

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers with the shape (B, *D), dtype and device of `like`.

        Box–Muller: n₁ = √(−2 log u) cos(2πv), n₂ = √(−2 log u) sin(2πv), with u, v of 32 bits each.
        """
        return _normals(self._keys(like.shape[0]), like)

    def normals(self, like: Tensor, forks: Sequence[tuple[int | str, ...]]) -> Tensor:
        """`fork(*keys).normal(like)` for each of the K `forks`, all at once, which is cheaper: (K, B, *D)."""
        rows = like.shape[0]
        keys = np.concatenate([self.fork(*keys)._keys(rows) for keys in forks])
        return _normals(keys, like).reshape(len(forks), *like.shape)

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Uniform numbers in (0, 1): (rows, *shape) float64 on the CPU, 52 bits each."""
        bits = _bits(self._keys(rows), math.prod(shape), torch.device("cpu"))
        u = (bits >> 12).bitwise_and_((1 << 52) - 1).to(torch.float64).add_(0.5).mul_(2.0**-52)
        return u.reshape(rows, *shape)

    def integers(self, rows: int, high: int) -> Tensor:
        """Uniform whole numbers in {0, …, high − 1}: (rows,) int64 on the CPU."""
        return (self.uniform(rows) * high).to(torch.int64).clamp_(max=high - 1)

    def rademacher(self, like: Tensor) -> Tensor:
        """Signs ±1, each with probability ½, like `like`."""
        bits = _bits(self._keys(like.shape[0]), math.prod(like.shape[1:]), like.device)
        return (bits < 0).to(like.dtype).mul_(-2).add_(1).reshape(like.shape)
