"""Which example is seen at which position of training: a function of (seed, position) and of nothing else.

Position p of an endless sequence belongs to epoch e = ⌊p/n⌋ and shows example π_{seed,e}(p mod n), where π is a
permutation of the n examples. Workers, processes and restarts only choose which positions they ask for, so that the
order of a resumed or distributed run is that of the whole. With weights, position p shows an independent draw with
probability proportional to them instead.

>>> whole = order(10, 0, 0, 40)
>>> bool((order(10, 0, 17, 5) == whole[17:22]).all()), sorted(whole[10:20].tolist()) == list(range(10))
(True, True)
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from reverie.core.rng import Rng


@functools.lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    """Example numbers 0 … count − 1 in the order of one epoch: the order of `count` uniform keys."""
    return torch.argsort(Rng(seed).fork("order", epoch).uniform(count), stable=True)


def order(count: int, seed: int, start: int, rows: int, weights: Tensor | None = None) -> Tensor:
    """The examples at positions start … start + rows − 1: (rows,) int64 in {0, …, count − 1}.

    Without weights each epoch of `count` positions is a permutation by (seed, epoch). With weights (count,), none
    negative, position p draws example i with probability wᵢ/Σw by inverting the cumulative sum, from (seed, p) alone.
    """
    if count < 1:
        raise ValueError("there are no examples to put in order")
    if weights is not None:
        edges = _edges(weights, count)
        draws = Rng(seed).fork("weighted order").at(start).uniform(rows) * edges[-1]
        return torch.searchsorted(edges, draws, right=True).clamp_(max=count - 1)
    parts, position = [], start
    while position < start + rows:
        epoch, first = divmod(position, count)
        last = min(count, first + start + rows - position)
        parts.append(_permutation(count, seed, epoch)[first:last])
        position += last - first
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


def _edges(weights: Tensor, count: int) -> Tensor:
    if weights.shape != (count,) or not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
        raise ValueError(f"weights must be {count} numbers, none negative and not all zero")
    return weights.to("cpu", torch.float64).cumsum(0)


def balance(labels: Tensor) -> Tensor:
    """Weights (N,) under which every class that occurs is shown equally often: wᵢ = 1/(number of examples like i).

    >>> balance(torch.tensor([0, 0, 0, 1])).tolist()
    [0.3333333333333333, 0.3333333333333333, 0.3333333333333333, 1.0]
    """
    return 1 / torch.bincount(labels).to(torch.float64)[labels]
