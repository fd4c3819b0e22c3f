"""Where the stages of a step lie when every example has its own angle: their times and coefficients, in one look-up.

An angle θ = atan(σ/α) is met at the time with log SNR = −2 log tan θ. A call of torch costs more than the arithmetic of
a few numbers, so few of them are looked up one by one in Python's floats, many together in tensors.
Reference for regula falsi with the Illinois rule: Dowell & Jarratt 1971.
"""

from __future__ import annotations

import bisect
import functools
import math
import operator
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.processes import Schedule

Reals: TypeAlias = NDArray[np.float64]

# So many angles cost the same either way.
FEW = 64
# An error of log SNR that is rounding.
CLOSE = 1e-14


class Node(NamedTuple):
    """Times (B,) float64 on the CPU; √(α² + σ²), 1/tan θ and 1/sin θ there, (B, 1, …) like the data."""

    t: Tensor
    norm: Tensor
    cot: Tensor
    csc: Tensor


def nodes(schedule: Schedule, theta: Reals, like: Tensor, t: float | None = None) -> list[Node]:
    """A node for each row of `theta` (S, B), of which all have the time `t` if it is given."""
    time, norm = _places(schedule, theta) if t is None else _same(schedule, theta, t)
    sine = np.sin(theta)
    numbers = torch.from_numpy(np.stack((norm, np.cos(theta) / sine, 1 / sine), 1)).to(like)
    shaped = numbers.reshape(*numbers.shape, *(1,) * (like.dim() - 1))
    return [Node(rows, *three.unbind()) for rows, three in zip(torch.from_numpy(time), shaped.unbind(), strict=True)]


def _same(schedule: Schedule, theta: Reals, t: float) -> tuple[Reals, Reals]:
    return np.full_like(theta, t), np.full_like(theta, math.hypot(schedule.alpha(t), schedule.sigma(t)))


def _places(schedule: Schedule, theta: Reals) -> tuple[Reals, Reals]:
    """The times of the angles, and √(α² + σ²) there, of the same shape."""
    log_snr = -2 * np.log(np.tan(theta)).ravel()
    if theta.size > FEW:
        times = torch.as_tensor(schedule.time_of(torch.from_numpy(log_snr)))
        norms = torch.hypot(torch.as_tensor(schedule.alpha(times)), torch.as_tensor(schedule.sigma(times)))
        return times.numpy().reshape(theta.shape), norms.numpy().reshape(theta.shape)
    found = [_time(schedule, value) for value in log_snr.tolist()]
    apart = [math.hypot(schedule.alpha(t), schedule.sigma(t)) for t in found]
    return np.array(found).reshape(theta.shape), np.array(apart).reshape(theta.shape)


@functools.lru_cache(maxsize=64)
def _table(schedule: Schedule) -> tuple[list[float], list[float]]:
    """Times from 0 to 1, dense near both ends, and the log SNR there."""
    near = np.logspace(-12, -2, 60)
    times = [0.0, *near, *np.linspace(0.01, 0.99, 400)[1:-1], *(1 - near[::-1]), 1.0]
    return [float(t) for t in times], [float(schedule.log_snr(float(t))) for t in times]


def _time(schedule: Schedule, log_snr: float) -> float:
    """`schedule.time_of` of one number, in floats: by regula falsi between neighbours in a table."""
    times, values = _table(schedule)
    index = min(max(bisect.bisect_left(values, -log_snr, key=operator.neg), 1), len(times) - 1)
    (low, high), (above, below) = times[index - 1 : index + 1], values[index - 1 : index + 1]
    above, below, side, t = above - log_snr, below - log_snr, 0, high
    for _ in range(60):
        t = low + (high - low) * (above / (above - below) if math.isfinite(above - below) else 0.5)
        f = float(schedule.log_snr(t)) - log_snr
        if abs(f) < CLOSE or not low < t < high:
            break
        # by the Illinois rule an end that stays twice in a row counts half
        if f > 0:
            low, above, below, side = t, f, below / 2 if side > 0 else below, 1
        else:
            high, below, above, side = t, f, above / 2 if side < 0 else above, -1
    return min(max(t, 0.0), 1.0)
