"""The Fokker–Planck equation on a grid, by finite volumes: what an ensemble of particles does, without particles.

    ∂p/∂t = −∇·(b p) + ½ g² ∇²p        for dx = b(x, t) dt + g(t) dw
Each cell holds its mass; what leaves one enters its neighbour, so mass is conserved to rounding, and nothing crosses
the border. The flux is Scharfetter–Gummel's, exact for a constant drift, positive for every step that `evolve` takes:
    F = (κ/Δ) [B(−b Δ/κ) p_left − B(b Δ/κ) p_right],   κ = g²/2,   B(z) = z/(e^z − 1)
In time: Heun's method, which keeps positivity. With g = 0 the flux is upwind's.
References: Risken 1996, "The Fokker–Planck Equation"; Scharfetter & Gummel 1969; Shu & Osher 1988.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from reverie.processes.schedule import Schedule

Drift: TypeAlias = Callable[[Tensor, float], Tensor]
Diffusion2: TypeAlias = Callable[[float], float]


@dataclass(frozen=True)
class Cells:
    """`count` equal cells along each of `dimensions` (1 or 2) axes, from low to high."""

    low: float
    high: float
    count: int
    dimensions: int = 1

    def __post_init__(self) -> None:
        if self.dimensions not in (1, 2) or self.count < 2 or not self.low < self.high:
            raise ValueError("needs low < high, at least 2 cells and 1 or 2 dimensions")

    @property
    def width(self) -> float:
        return (self.high - self.low) / self.count

    def centres(self) -> Tensor:
        """The cells' centres, (count,) * dimensions + (dimensions,) float64."""
        axis = self.low + self.width * (torch.arange(self.count, dtype=torch.float64) + 0.5)
        return torch.stack(torch.meshgrid(*[axis] * self.dimensions, indexing="ij"), -1)

    def faces(self, axis: int) -> Tensor:
        """The centres of the inner faces across an axis: one fewer along it than cells."""
        centres = self.centres()
        return (centres.narrow(axis, 1, self.count - 1) + centres.narrow(axis, 0, self.count - 1)) / 2

    def density(self, log_prob: Callable[[Tensor], Tensor]) -> Tensor:
        """A density at the cells' centres, from log p of points (N, dimensions), scaled to mass 1."""
        centres = self.centres()
        p = log_prob(centres.reshape(-1, self.dimensions)).exp().reshape(centres.shape[:-1])
        return p / self.mass(p)

    def mass(self, p: Tensor) -> Tensor:
        return p.sum() * self.width**self.dimensions

    def histogram(self, x: Tensor) -> Tensor:
        """The density of particles x (N, dimensions) by counting; those outside count in the outermost cells."""
        place = ((x.double() - self.low) / self.width).floor().clamp(0, self.count - 1).long()
        index = place[:, 0] if self.dimensions == 1 else place[:, 0] * self.count + place[:, 1]
        counts = torch.bincount(index, minlength=self.count**self.dimensions).double()
        return (counts / (len(x) * self.width**self.dimensions)).reshape([self.count] * self.dimensions)


def evolve(cells: Cells, p: Tensor, drift: Drift, diffusion2: Diffusion2, *, start: float, end: float) -> Tensor:
    """The density at `end` from p at `start`; end < start runs dx = b dt + g dw̄ backwards, as a sampler does.

    `drift` maps points (N, dimensions) and a time to b; `diffusion2` a time to g². Steps are as short as positivity
    asks: Δt ≤ 0.4/(Σ (g²/Δ² + |b|/Δ)).
    """
    sign, t = (1.0 if end > start else -1.0), start
    now = _rates(cells, drift, diffusion2, t, sign)
    while (end - t) * sign > 1e-15:
        # half of what positivity allows, for the coefficients change within the step
        step = min(abs(end - t), 1e-3, 0.4 / max(now[2], 1e-12))
        later = _rates(cells, drift, diffusion2, t + sign * step, sign)
        first = p + step * _inflow(cells, p, now[0], now[1])
        p = 0.5 * (p + first + step * _inflow(cells, first, later[0], later[1]))
        t, now = t + sign * step, later
    return p


def _rates(
    cells: Cells, drift: Drift, diffusion2: Diffusion2, t: float, sign: float
) -> tuple[list[Tensor], float, float]:
    """The drift across each axis's faces (in time's direction), g²/2, and the fastest rate of leaving a cell."""
    flow = []
    for axis in range(cells.dimensions):
        faces = cells.faces(axis)
        b = drift(faces.reshape(-1, cells.dimensions), t)[:, axis].reshape(faces.shape[:-1])
        flow.append(sign * b)
    g2 = diffusion2(t)
    fastest = sum(float(b.abs().max()) / cells.width for b in flow) + cells.dimensions * g2 / cells.width**2
    return flow, g2 / 2, fastest


def _inflow(cells: Cells, p: Tensor, flow: list[Tensor], kappa: float) -> Tensor:
    """Σ over axes of what enters less what leaves, per volume."""
    total = torch.zeros_like(p)
    for axis, b in enumerate(flow):
        left, right = p.narrow(axis, 0, cells.count - 1), p.narrow(axis, 1, cells.count - 1)
        if kappa > 0:
            z = b * cells.width / kappa
            flux = kappa / cells.width * (_bernoulli(-z) * left - _bernoulli(z) * right)
        else:
            flux = b.clamp(min=0) * left + b.clamp(max=0) * right
        total.narrow(axis, 0, cells.count - 1).sub_(flux / cells.width)
        total.narrow(axis, 1, cells.count - 1).add_(flux / cells.width)
    return total


def _bernoulli(z: Tensor) -> Tensor:
    """z/(e^z − 1), 1 at 0."""
    small = z.abs() < 1e-6
    safe = torch.where(small, torch.ones_like(z), z).clamp(-700, 700)
    return torch.where(small, 1 - z / 2, safe / torch.expm1(safe))


def forward_equation(schedule: Schedule) -> tuple[Drift, Diffusion2]:
    """Drift and diffusion² of the noising equation dx = f x dt + g dw."""

    def drift(x: Tensor, t: float) -> Tensor:
        return float(schedule.drift(t)) * x

    return drift, lambda t: max(0.0, float(schedule.diffusion2(t)))


def reverse_equation(
    schedule: Schedule, score: Callable[[Tensor, float], Tensor], eta: Callable[[float], float] | float = 1.0
) -> tuple[Drift, Diffusion2]:
    """The family that runs back along the same marginals: b = f x − ½ (1 + η²) g² ∇log p_t, diffusion η g.

    η = 0 is the probability-flow ODE, η = 1 the reverse SDE; η may be a function of t. In `evolve` with end < start
    the diffusion spreads as time falls. Reference: Song et al. 2021, arXiv:2011.13456, equations 6 and 13.
    """

    def amount(t: float) -> float:
        return eta(t) if callable(eta) else eta

    def drift(x: Tensor, t: float) -> Tensor:
        g2 = float(schedule.diffusion2(t))
        return float(schedule.drift(t)) * x - 0.5 * (1 + amount(t) ** 2) * g2 * score(x, t)

    return drift, lambda t: amount(t) ** 2 * max(0.0, float(schedule.diffusion2(t)))
