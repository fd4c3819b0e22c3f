"""Copies: whether samples lie closer to training examples than unseen real data do.

With d(x) the distance from x to its nearest training example, and d′ that of a training example to its nearest other
one, a near copy is an x with d(x) below the 1 % quantile of d′. The share among samples means something only beside the
share among held-out data, which is what it would be for a perfect model.
Reference: Meehan et al. 2020, "A non-parametric test to detect data-copying", arXiv:2004.05675, for the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CLOSE = 0.01


@dataclass(frozen=True)
class Copies:
    """Shares in [0, 1] of near copies among samples and among held-out data; `below` is the distance that counts."""

    samples: float
    held_out: float
    below: float


def nearest(x: Tensor, reference: Tensor, *, skip_self: bool = False, block: int = 1024) -> Tensor:
    """The Euclidean distance from each x (N, *D) to its nearest reference (M, *D): (N,).

    `skip_self`: x is the reference, and an example is not compared with itself.
    """
    rows, others = x.reshape(len(x), -1).float(), reference.reshape(len(reference), -1).float()
    found = []
    for start in range(0, len(rows), block):
        distances = torch.cdist(rows[start : start + block], others)
        if skip_self:
            distances[torch.arange(len(distances)), torch.arange(start, start + len(distances))] = torch.inf
        found.append(distances.amin(1))
    return torch.cat(found)


def copy_shares(samples: Tensor, train: Tensor, held_out: Tensor) -> Copies:
    """The shares of near copies of `train` among `samples` and among `held_out`; NaN where a side is empty."""
    below = float(nearest(train, train, skip_self=True).quantile(CLOSE))

    def share(x: Tensor) -> float:
        return float((nearest(x, train) <= below).double().mean()) if len(x) else float("nan")

    return Copies(share(samples), share(held_out), below)
