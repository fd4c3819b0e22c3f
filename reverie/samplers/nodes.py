"""Where the stages of a step lie when every example has its own angle: their times and coefficients, in one look-up.

An angle θ = atan(σ/α) is met at the time with log SNR = −2 log tan θ. A call of torch costs more than the arithmetic of
a few numbers, so few of them are looked up one by one in Python's floats, many together in tensors.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.processes import Schedule

Reals: TypeAlias = NDArray[np.float64]

# So many angles cost the same either way.
FEW = 64


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
    found = [schedule.float_time_of(value) for value in log_snr.tolist()]
    apart = [math.hypot(schedule.alpha(t), schedule.sigma(t)) for t in found]
    return np.array(found).reshape(theta.shape), np.array(apart).reshape(theta.shape)
