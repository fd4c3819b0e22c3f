"""Arithmetic that is the same for one number and for a batch of them.

A time is a Python float (one for all examples, as in sampling) or a float64 tensor of shape (B,) (one per example,
as in training). Schedules are written once with the functions below and serve both: floats stay floats, so a
sampler's coefficients cost about a microsecond and no tensor; tensors stay differentiable.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = float | Tensor


def exp(x: Scalar) -> Scalar:
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def log(x: Scalar) -> Scalar:
    """Natural logarithm; −inf at 0, for floats as for tensors."""
    return x.log() if isinstance(x, Tensor) else (math.log(x) if x > 0 else -math.inf)


def sqrt(x: Scalar) -> Scalar:
    return x.sqrt() if isinstance(x, Tensor) else math.sqrt(x)


def cos(x: Scalar) -> Scalar:
    return x.cos() if isinstance(x, Tensor) else math.cos(x)


def sin(x: Scalar) -> Scalar:
    return x.sin() if isinstance(x, Tensor) else math.sin(x)


def tan(x: Scalar) -> Scalar:
    return x.tan() if isinstance(x, Tensor) else math.tan(x)


def atan(x: Scalar) -> Scalar:
    return x.atan() if isinstance(x, Tensor) else math.atan(x)


def expm1(x: Scalar) -> Scalar:
    return x.expm1() if isinstance(x, Tensor) else math.expm1(x)


def log1p(x: Scalar) -> Scalar:
    return x.log1p() if isinstance(x, Tensor) else (math.log1p(x) if x > -1 else -math.inf)


def sigmoid(x: Scalar) -> Scalar:
    """1/(1 + e⁻ˣ), exact in both tails."""
    if isinstance(x, Tensor):
        return x.sigmoid()
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def clamp(x: Scalar, low: float, high: float) -> Scalar:
    return x.clamp(low, high) if isinstance(x, Tensor) else min(max(x, low), high)


def expand(value: Scalar, like: Tensor) -> Scalar:
    """A per-example scalar (B,) shaped to multiply `like` (B, *D), in its dtype and on its device; floats pass."""
    if not isinstance(value, Tensor):
        return value
    sent = value.to(like, non_blocking=onto_gpu(like.device))
    return sent.reshape(-1, *(1,) * (like.dim() - 1)) if value.dim() else sent


def onto_gpu(device: torch.device) -> bool:
    """Whether a copy to the device need not be waited for: the device reads in order what the host has handed over."""
    return device.type == "cuda"


def batch(t: Scalar, like: Tensor) -> Tensor:
    """The time as a float64 tensor (B,) on the CPU."""
    if isinstance(t, Tensor) and t.dim():
        return t
    return torch.full((like.shape[0],), float(t), dtype=torch.float64)


def sum_features(x: Tensor) -> Tensor:
    """Sum over all but the first dimension: (B, *D) → (B,)."""
    return x.flatten(1).sum(1)


def mean_features(x: Tensor) -> Tensor:
    """Mean over all but the first dimension: (B, *D) → (B,)."""
    return x.flatten(1).mean(1)
