"""A schedule given by values of log SNR at equal steps of time: any monotone schedule, and the learned one of VDM.

    λ(t) falls linearly between the knots λ_0 > λ_1 > … > λ_n,   α² = 1/(1 + e^{−λ}),  σ² = 1/(1 + e^{λ})
Before the first knot, at t < 1/100, σ grows linearly from 0, so that α(0) = 1 and σ(0) = 0 as everywhere.
The bound in continuous time does not depend on the knots between the ends; the variance of its estimate does, and
`reverie.likelihoods.learn_knots` finds those with the least.
Reference: Kingma et al. 2021, arXiv:2107.00630, appendix H.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.tensors import Scalar
from reverie.processes.schedule import Schedule

START = 1e-2  # the time of the first knot


@dataclass(frozen=True)
class Knots(Schedule):
    """Variance-preserving, with log SNR piecewise linear in t through `log_snrs`.

    Raises ValueError for fewer than two knots, or knots that do not fall or are not finite.
    """

    log_snrs: tuple[float, ...] = (13.3, 6.0, 2.0, -2.0, -6.0, -13.3)

    def __post_init__(self) -> None:
        finite = all(math.isfinite(k) for k in self.log_snrs)
        if len(self.log_snrs) < 2 or not finite or any(a <= b for a, b in itertools.pairwise(self.log_snrs)):
            raise ValueError("log_snrs must be at least two finite numbers, falling")

    def alpha(self, t: Scalar) -> Scalar:
        if not isinstance(t, Tensor):
            return float(self.alpha(torch.tensor(float(t), dtype=torch.float64)))
        first = math.exp(-0.5 * _softplus(self.log_snrs[0]))  # σ at the first knot
        near = (1 - (first * t / START).clamp(max=first) ** 2).sqrt()
        return torch.where(t < START, near, self._between(t).sigmoid().sqrt())

    def sigma(self, t: Scalar) -> Scalar:
        if not isinstance(t, Tensor):
            return float(self.sigma(torch.tensor(float(t), dtype=torch.float64)))
        first = math.exp(-0.5 * _softplus(self.log_snrs[0]))
        return torch.where(t < START, first * t / START, (-self._between(t)).sigmoid().sqrt())

    def _between(self, t: Tensor) -> Tensor:
        """λ at times from the first knot on (held there before it)."""
        knots = torch.tensor(self.log_snrs, dtype=torch.float64, device=t.device)
        place = ((t - START) / (1 - START)).clamp(min=0) * (len(knots) - 1)
        index = place.detach().floor().clamp(0, len(knots) - 2).long()
        return knots[index] + (place - index) * (knots[index + 1] - knots[index])


def _softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))
