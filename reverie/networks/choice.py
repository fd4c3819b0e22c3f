"""The network for data of a given shape, size and time: what is used when nobody chooses."""

from __future__ import annotations

import math
from typing import Any


def suggest(shape: tuple[int, ...], examples: int, minutes: float) -> dict[str, Any]:
    """A name and options, to be overridden one by one.

    >>> suggest((2,), 10_000, 1.0)
    {'name': 'mlp', 'width': 256, 'depth': 3}
    """
    if len(shape) == 1:
        return {"name": "mlp", "width": 256, "depth": 3}
    longest = max(shape[1:])
    if math.prod(shape[1:]) == 1:
        return {"name": "mlp", "width": 256, "depth": 3}
    if longest <= 16:
        return {"name": "unet", "width": 64, "multipliers": [1, 2], "depth": 1, "attention": [-1], "patch": 1}
    patch = 2
    while longest / patch > 64:
        patch *= 2
    multipliers = [1, 2] if longest / patch <= 16 else [1, 2, 2]
    return {"name": "unet", "width": 64, "multipliers": multipliers, "depth": 1, "attention": [-1], "patch": patch}
