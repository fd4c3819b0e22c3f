"""Solvers of the probability-flow ODE from data to noise: a fixed number of steps, or steps by an error estimate.

They integrate a state y (B, *D) and volumes (B, P) over the angle from 0 to `end`; every example has its own steps, so
that its number does not depend on its neighbours.
References: Hairer, Nørsett & Wanner 1993, section II.1 (RK4), table II.5.2 (Dormand–Prince), section II.4 (step size).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.tensors import expand

Slope = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (y, angle (B,)) → dy/dθ, dV/dθ
Result = tuple[Tensor, Tensor, Tensor]  # y at the end, volumes, evaluations (B,)


class Solver(ABC):
    """From (y, 0) at angle 0 to the end."""

    @abstractmethod
    def integrate(self, slope: Slope, y: Tensor, *, volumes: int, end: float) -> Result:
        """y(end) (B, *D), ∫ dV (B, volumes) float64, and how often the slope was asked for (B,)."""


@dataclass(frozen=True)
class RungeKutta(Solver):
    """Classical fourth order, N steps at θ_i = end (i/N)^power: shorter near the data.

    k₁ = f(y), k₂ = f(y + h k₁/2), k₃ = f(y + h k₂/2), k₄ = f(y + h k₃),   y′ = y + h (k₁ + 2k₂ + 2k₃ + k₄)/6
    """

    steps: int = 200
    power: float = 2.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.power < 1:
            raise ValueError(f"needs steps >= 1 and power >= 1, not {self.steps} and {self.power}")

    def integrate(self, slope: Slope, y: Tensor, *, volumes: int, end: float) -> Result:
        total = torch.zeros(len(y), volumes, dtype=torch.float64)
        angles = [end * (i / self.steps) ** self.power for i in range(self.steps + 1)]
        for low, high in itertools.pairwise(angles):
            h = high - low
            at = [torch.full((len(y),), a, dtype=torch.float64) for a in (low, low + h / 2, high)]
            k1, v1 = slope(y, at[0])
            k2, v2 = slope(y + h / 2 * k1, at[1])
            k3, v3 = slope(y + h / 2 * k2, at[1])
            k4, v4 = slope(y + h * k3, at[2])
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            total = total + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        return y, total, torch.full((len(y),), 4 * self.steps, dtype=torch.int64)


# Dormand–Prince 5(4): nodes, stages, and the difference of the fifth and the fourth order
_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@dataclass(frozen=True)
class Adaptive(Solver):
    """Dormand–Prince 5(4) with steps of each example's own: local error below tolerance · (1 + |value|).

    The value is y (root mean square) and the volume in nats; the larger error decides. In single precision the
    tolerance is held at 1e-6 or above. Raises ArithmeticError naming the tolerance after `max_steps`.
    """

    tolerance: float = 1e-5
    max_steps: int = 5000

    def __post_init__(self) -> None:
        if not self.tolerance > 0 or self.max_steps < 1:
            raise ValueError(f"needs tolerance > 0 and max_steps >= 1, not {self.tolerance} and {self.max_steps}")

    def integrate(self, slope: Slope, y: Tensor, *, volumes: int, end: float) -> Result:
        rows = len(y)
        tolerance = self.tolerance if y.dtype == torch.float64 else max(self.tolerance, 1e-6)
        total = torch.zeros(rows, volumes, dtype=torch.float64)
        angle, h = torch.zeros(rows, dtype=torch.float64), torch.full((rows,), 1e-3 * end, dtype=torch.float64)
        first = slope(y, angle)
        evaluations = torch.ones(rows, dtype=torch.int64)
        for _ in range(self.max_steps):
            left = end - angle
            if not (left > 0).any():
                return y, total, evaluations
            h = torch.minimum(h, left)
            y_new, total_new, last, error = _attempt(slope, y, total, angle, h, first)
            error = error / tolerance
            taken = (error <= 1) & (left > 0)
            evaluations += 6 * (left > 0)
            angle = torch.where(taken, torch.where(h >= left, torch.full_like(angle, end), angle + h), angle)
            y, total = _choose(taken, y_new, y), _choose(taken, total_new, total)
            first = (_choose(taken, last[0], first[0]), _choose(taken, last[1], first[1]))
            h = h * (0.9 * error.clamp(min=1e-10) ** -0.2).clamp(0.2, 5.0)
        raise ArithmeticError(
            f"the ODE did not reach the noise in {self.max_steps} steps at tolerance {self.tolerance:g}"
        )


def _attempt(
    slope: Slope, y: Tensor, total: Tensor, angle: Tensor, h: Tensor, first: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
    """One step of every example: the new state and volumes, the slope there, and the local error (B,)."""
    step, stages = expand(h, y), [first]
    y_new, total_new = y, total
    for c, row in zip(_C, _A, strict=True):
        y_new = y + step * sum(a * k for a, (k, _) in zip(row, stages, strict=False) if a)
        total_new = total + h[:, None] * sum(a * v for a, (_, v) in zip(row, stages, strict=False) if a)
        stages.append(slope(y_new, angle + c * h))
    wrong_y = step * sum(e * k for e, (k, _) in zip(_E, stages, strict=True) if e)
    wrong_total = h[:, None] * sum(e * v for e, (_, v) in zip(_E, stages, strict=True) if e)
    scaled = wrong_y / (1 + torch.maximum(y.abs(), y_new.abs()))
    error_y = scaled.flatten(1).square().mean(1).sqrt().to("cpu", torch.float64)
    error_total = (wrong_total / (1 + torch.maximum(total.abs(), total_new.abs()))).square().mean(1).sqrt()
    return y_new, total_new, stages[-1], torch.maximum(error_y, error_total)


def _choose(taken: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(taken.to(new.device).reshape(-1, *(1,) * (new.dim() - 1)), new, old)
