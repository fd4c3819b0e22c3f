"""A page of the theory: a picture, the numbers behind it, and what they show. The pages' data: three modes on the line.

References: with each page.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Mixture
from reverie.processes import Gaussian, Schedule


@dataclass(frozen=True)
class Page:
    """`figure` is matplotlib's; `numbers` are what the text claims, measured when the page was made."""

    title: str
    text: str
    figure: Figure
    numbers: Mapping[str, float]

    def png(self) -> bytes:
        """The figure as a PNG file."""
        out = io.BytesIO()
        self.figure.savefig(out, format="png", dpi=110)
        return out.getvalue()

    def __str__(self) -> str:
        width = max(map(len, self.numbers))
        rows = "\n".join(f"  {name:{width}s}  {value:.4g}" for name, value in self.numbers.items())
        return f"{self.title}\n\n{self.text}\n\n{rows}"


def modes(schedule: Schedule) -> Mixture:
    """Data on the line: three unequal modes, and their exact posterior under the schedule."""
    means = torch.tensor([[-1.6], [0.2], [1.5]], dtype=torch.float64)
    weights, stds = torch.tensor([0.3, 0.5, 0.2]).double(), torch.tensor([0.25, 0.35, 0.15]).double()
    return Mixture(Gaussian(schedule), weights, means, stds)


def draw(denoiser: Mixture, t: float, count: int, seed: int) -> Tensor:
    """Exact draws from p_t, (count, D)."""
    law = denoiser.law(t)
    wide = type(law)(law.log_weights.expand(count, -1), law.means.expand(count, *law.means.shape[1:]), law.stds)
    return wide.sample(Rng(seed))


def density(denoiser: Mixture, t: float, x: Tensor) -> Tensor:
    """p_t at the points x (N,) of the line."""
    return denoiser.law(t).log_prob(x[:, None]).exp()


def line(low: float = -3.5, high: float = 3.5, count: int = 701) -> Tensor:
    return torch.linspace(low, high, count, dtype=torch.float64)
