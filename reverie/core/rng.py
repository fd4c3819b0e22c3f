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

import torch
from torch import Tensor

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


def _mix(z: Tensor) -> Tensor:
    """The same bits as `_mix_int`, elementwise and in place; `>>` on int64 is arithmetic, hence the masks."""
    z.bitwise_xor_((z >> 30).bitwise_and_((1 << 34) - 1)).mul_(_SM1)
    z.bitwise_xor_((z >> 27).bitwise_and_((1 << 37) - 1)).mul_(_SM2)
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))


@functools.lru_cache(maxsize=4096)
def _word(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


@functools.lru_cache(maxsize=32)
def _counters(count: int, device: torch.device) -> Tensor:
    return torch.arange(1, count + 1, device=device).mul_(_SGAMMA)


class Rng:
    """A stream of random numbers per example, named by a seed and keys.

    `examples` are the global numbers of the rows (default 0, 1, 2, …): a shard, a chunk or a resumed run passes
    its own and draws what the whole would have drawn.
    """

    __slots__ = ("_examples", "_key")

    def __init__(self, seed: int = 0) -> None:
        self._key = _mix_int((int(seed) * _GAMMA + 0x5851F42D4C957F2D) & _MASK)
        self._examples: Tensor | int = 0

    def _derived(self, key: int, examples: Tensor | int) -> Rng:
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
        return self._derived(self._key, examples)

    def numbers(self, rows: int) -> Tensor:
        """The global numbers of the first `rows` examples, (rows,) int64."""
        first = self._examples
        number = torch.arange(first, first + rows) if isinstance(first, int) else first[:rows]
        if number.shape[0] != rows:
            raise ValueError(f"this Rng names {number.shape[0]} examples, but {rows} rows were asked for")
        return number

    def _bits(self, rows: int, count: int, device: torch.device) -> Tensor:
        """64 random bits for each of `count` elements of `rows` examples: (rows, count) int64."""
        key = _mix(self.numbers(rows).to(device) * _SGAMMA + _signed(self._key))
        return _mix(_counters(count, device) + key[:, None])

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers with the shape (B, *D), dtype and device of `like`.

        Box–Muller: n₁ = √(−2 log u) cos(2πv), n₂ = √(−2 log u) sin(2πv), with u, v of 32 bits each.
        """
        rows, count = like.shape[0], math.prod(like.shape[1:])
        if not rows * count:
            return torch.empty_like(like)
        half = (count + 1) // 2
        bits = self._bits(rows, half, like.device)
        work = torch.float64 if like.dtype == torch.float64 else torch.float32
        u = (bits >> 32).bitwise_and_(0xFFFFFFFF).to(work).add_(0.5).mul_(2.0**-32)
        v = bits.bitwise_and_(0xFFFFFFFF).to(work).mul_(2 * math.pi * 2.0**-32)
        radius = u.log_().mul_(-2).clamp_(min=0).sqrt_()
        out = torch.cat((v.cos() * radius, v.sin_() * radius), 1)
        return out[:, :count].reshape(like.shape).to(like.dtype)

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
