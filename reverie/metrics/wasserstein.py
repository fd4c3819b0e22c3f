"""The sliced Wasserstein-2 distance: the mean over directions of the distance between the two shadows on a line.

    d² = E_θ ∫₀¹ (F_{θ·X}⁻¹(u) − F_{θ·Y}⁻¹(u))² du,   θ uniform on the unit sphere
Reference: Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures", equation 8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.metrics.frechet import pair


def sliced_wasserstein(x: Tensor, y: Tensor, *, directions: int = 256, seed: int = 0) -> float:
    """d (not squared) of x (N, *D) and y (M, *D), in the units of the data; the same directions for the same seed."""
    x, y = pair(x, y)
    theta = Rng(seed).fork("directions").normal(torch.empty(directions, x.shape[1], dtype=torch.float64))
    theta /= theta.norm(dim=1, keepdim=True)
    u = (torch.arange(min(len(x), len(y)), dtype=torch.float64) + 0.5) / min(len(x), len(y))
    shadows = [_quantiles((side @ theta.T).sort(0).values, u) for side in (x, y)]
    return float((shadows[0] - shadows[1]).square().mean().sqrt())


def _quantiles(ordered: Tensor, u: Tensor) -> Tensor:
    """The values at the shares u of each sorted column (N, P): (len(u), P), between neighbours linearly."""
    place = (u * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], (place - low)[:, None])
