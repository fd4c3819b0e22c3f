"""Which kinds of real data samples lack: shares of k-means cells of the real data, compared cell by cell.

    z_k = (p_k − q_k) / √(π_k (1 − π_k)(1/N + 1/M))      p_k, q_k, π_k: shares of samples, of real data, of both
A cell with z_k far below 0 and p_k well below q_k is a mode that the samples drop.
Reference: Richardson & Weiss 2018, "On GANs and GMMs", arXiv:1805.12462, section 2 (number of different bins).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.metrics.frechet import pair

FITTED = 10_000  # rows that cells are fitted to, at most


@dataclass(frozen=True)
class Modes:
    """Per cell (K,): the share of samples, of real data, and the standardised difference; `of_real` is (M,) cells."""

    samples: Tensor
    real: Tensor
    z: Tensor
    of_real: Tensor

    @property
    def rarest(self) -> int:
        """The cell that samples lack most surely."""
        return int(self.z.argmin())


def modes(samples: Tensor, real: Tensor, *, cells: int | None = None, seed: int = 0) -> Modes:
    """Shares of features of samples (N, F) and of real data (M, F); by default a cell for every 30 samples, 10 to 100.

    Raises ValueError where a side has fewer rows than there are cells.
    """
    from sklearn.cluster import KMeans  # takes a second to load, and training needs it not

    x, y = pair(samples, real)
    count = cells or max(10, min(100, len(x) // 30))
    if min(len(x), len(y)) < count:
        raise ValueError(f"{count} cells need at least {count} examples on each side")
    fitted = KMeans(count, n_init=1, random_state=seed).fit(y[:FITTED].numpy())
    of_x, of_y = (torch.from_numpy(fitted.predict(side.numpy())).long() for side in (x, y))
    counts_x, counts_y = (side.bincount(minlength=count).double() for side in (of_x, of_y))
    together = (counts_x + counts_y) / (len(x) + len(y))
    error = (together * (1 - together) * (1 / len(x) + 1 / len(y))).sqrt().clamp_min(1e-12)
    p, q = counts_x / len(x), counts_y / len(y)
    return Modes(p, q, (p - q) / error, of_y)
