"""From nats to bits per dimension, and from densities to probabilities of levels.

A density of z = (v − center)/spread in model units becomes one of v by the Jacobian, and a probability of a level by
the width of its bin:
    log p(v) = log p(z) − Σ log spread        log P(level) ≈ log p(z) + Σ log w,   w = step/spread
Bytes mapped onto [−1, 1] have 256 levels and w = 2/255: a density of 1 nat a dimension is not 1 nat a byte.
Reference: Theis, van den Oord & Bethge 2016, arXiv:1511.01844, section 3.1.

>>> round(bits_per_dim(256 * LOG_2, 32), 12)
8.0
>>> round(2 ** -(level_bits(256)), 8), round(2 / 255, 8)
(0.00784314, 0.00784314)
"""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

LOG_2 = math.log(2)
Number = TypeVar("Number", float, Tensor)


def bits_per_dim(nats: Number, dimensions: int) -> Number:
    """nats/(D log 2). Raises ValueError for D < 1."""
    if dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, not {dimensions}")
    return nats / (dimensions * LOG_2)


def nats(bits: Number, dimensions: int) -> Number:
    """The inverse of `bits_per_dim`."""
    return bits * (dimensions * LOG_2)


def level_width(bins: int) -> float:
    """w = 2/(bins − 1): the distance of neighbouring levels of data mapped onto [−1, 1]. Raises ValueError below 2."""
    if bins < 2:
        raise ValueError(f"data on levels need at least 2 bins, not {bins}")
    return 2 / (bins - 1)


def level_nats(bins: int) -> float:
    """−log w: what naming a level costs more than a density of 1, nats per dimension."""
    return -math.log(level_width(bins))


def level_bits(bins: int) -> float:
    """−log₂ w, bits per dimension: 6.9943 for bytes."""
    return level_nats(bins) / LOG_2


def native_nats(spread: tuple[float, ...], dimensions: int) -> float:
    """Σ log spread over all dimensions: what −log p(v) has more than −log p(z). One spread, or one a channel."""
    if dimensions % len(spread):
        raise ValueError(f"{len(spread)} channels do not divide {dimensions} dimensions")
    return dimensions // len(spread) * sum(math.log(s) for s in spread)
