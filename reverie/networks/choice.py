"""The network for data of a given shape, size and time: what is used when nobody chooses."""

from __future__ import annotations

import math
from typing import Any

LONG = 120  # minutes


def suggest(shape: tuple[int, ...], examples: int, minutes: float) -> dict[str, Any]:
    """A name and options, to be overridden one by one.

    Points get an MLP. Pictures, signals and volumes get a U-Net on at most 64 folded pixels a side: within minutes on a
    processor many cheap updates teach more than few large ones, so that it is small until there are hours. Signals are
    mostly aligned (a beat, a gesture, a spectrum), so that they are read together with their position.

    >>> suggest((2,), 10_000, 1.0)
    {'name': 'mlp', 'width': 256, 'depth': 3}
    """
    if math.prod(shape[1:]) == 1:
        return {"name": "mlp", "width": 256, "depth": 3}
    longest, patch = max(shape[1:]), 1
    while longest / patch > (16 if patch == 1 else 64):
        patch *= 2
    return {
        "name": "unet",
        "width": 64 if minutes < LONG else 128,
        "multipliers": [1, 2] if longest / patch <= 16 else [1, 2, 2],
        "depth": 1 if minutes < LONG else 2,
        "attention": [-1],
        "patch": patch,
        **({"places": 5} if len(shape) == 2 else {}),
    }
