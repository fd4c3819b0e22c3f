"""Copies: whether samples lie closer to training examples than unseen real data do.

With d(x) the distance from x to its nearest training example, and d′ that of a training example to its nearest other
one, a near copy is an x with d(x) below the 1 % quantile of d′ (of some 4,000 evenly spaced ones of them, for the work
grows with the square). The share among samples means something only beside the
share among held-out data, which is what it would be for a perfect model.
Reference: Meehan et al. 2020, "A non-parametric test to detect data-copying", arXiv:2004.05675, for the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CLOSE = 0.01
PROBES = 4000  # about how many training examples have their distance to the nearest other one measured


@dataclass(frozen=True)
class Copies:
    """Shares in [0, 1] of near copies among samples and among held-out data; `below` is the distance that counts."""

    samples: float
    held_out: float
    below: float


def nearest(x: Tensor, reference: Tensor, *, own: Tensor | None = None, block: int = 1024) -> Tensor:
    """The Euclidean distance from each x (N, *D) to its nearest reference (M, *D): (N,).

    `own` (N,): where each x is itself among the reference, with which it is not compared.
    """
    rows, others = x.reshape(len(x), -1).float(), reference.reshape(len(reference), -1).float()
    found = []
    for start in range(0, len(rows), block):
        distances = torch.cdist(rows[start : start + block], others)
        if own is not None:
            distances[torch.arange(len(distances)), own[start : start + block]] = torch.inf
        found.append(distances.amin(1))
    return torch.cat(found)


def copy_shares(samples: Tensor, train: Tensor, held_out: Tensor) -> Copies:
    """The shares of near copies of `train` among `samples` and among `held_out`; NaN where a side is empty."""
    probes = torch.arange(0, len(train), max(1, round(len(train) / PROBES)))
    below = float(nearest(train[probes], train, own=probes).quantile(CLOSE))

    def share(x: Tensor) -> float:
        return float((nearest(x, train) <= below).double().mean()) if len(x) else float("nan")

    return Copies(share(samples), share(held_out), below)
