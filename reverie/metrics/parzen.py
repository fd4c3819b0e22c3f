"""The Parzen-window estimate of log-likelihoods, kept for comparison with papers that report it.

    log p(x) ≈ log 1/N Σ_n N(x; s_n, h² I)        over samples s_n, h chosen on validation data
It ranks models badly in many dimensions: it depends on N, and centres of clusters of the training data score higher
than the training data themselves (Theis, van den Oord & Bethge 2016, arXiv:1511.01844, section 3.2).
Reference: Breuleux, Bengio & Vincent 2011; as used by Goodfellow et al. 2014, arXiv:1406.2661, section 5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

WIDTHS = tuple(10 ** (-1 + k / 9) for k in range(10))  # tried for h, as in the code of 2014


def parzen(
    samples: Tensor, test: Tensor, *, validation: Tensor, widths: tuple[float, ...] = WIDTHS
) -> tuple[Tensor, float]:
    """log p of each test example in nats (M,), and the width h that suits `validation` best; rows are flattened.

    Raises ValueError without samples, examples or widths.
    """
    if not (len(samples) and len(test) and len(validation) and widths):
        raise ValueError("a Parzen window needs samples, test and validation examples, and widths")
    apart = _distances(validation, samples)
    size = samples[0].numel()
    best = max(widths, key=lambda h: float(_log_density(apart, h, size).mean()))
    return _log_density(_distances(test, samples), best, size), best


def _distances(x: Tensor, samples: Tensor) -> Tensor:
    """‖x_m − s_n‖², (M, N) float64."""
    a, b = x.flatten(1).double(), samples.flatten(1).double()
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)


def _log_density(apart: Tensor, width: float, size: int) -> Tensor:
    kernel = -0.5 * apart / width**2
    return torch.logsumexp(kernel, 1) - math.log(apart.shape[1]) - size * math.log(width * math.sqrt(2 * math.pi))
