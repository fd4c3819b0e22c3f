"""Priors r(x) to multiply a model's law by, as log r(x) in nats up to a constant: pictures may wish to be smooth.

Any callable from (B, *D) to (B,) that autograd can differentiate serves as well.
References: with each class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.tensors import sum_features


class Reward(ABC):
    """log r(x) of examples (B, *D) in model units."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """(B,) nats."""


@dataclass(frozen=True)
class Smoothness(Reward):
    """−weight Σ (x_i − x_j)² over neighbours: a Gaussian random field (Rue & Held 2005, section 3.3)."""

    weight: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        return -self.weight * torch.stack([sum_features(d**2) for d in differences(x)]).sum(0)


@dataclass(frozen=True)
class TotalVariation(Reward):
    """−weight Σ √((x_i − x_j)² + soft²) over neighbours: flat regions with edges (Rudin, Osher & Fatemi 1992)."""

    weight: float = 1.0
    soft: float = 0.01

    def __call__(self, x: Tensor) -> Tensor:
        steps = torch.stack([sum_features((d**2 + self.soft**2).sqrt()) for d in differences(x)])
        return -self.weight * steps.sum(0)


@dataclass(frozen=True)
class Closeness(Reward):
    """−weight ‖x − reference‖²: near an example (*D) or (B, *D). Reference: Sohl-Dickstein et al. 2015, section 2.5."""

    reference: Tensor
    weight: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        reference = self.reference.to(x)
        if reference.shape not in (x.shape, x.shape[1:]):
            raise ValueError(f"the reference has the shape {tuple(reference.shape)}, the data {tuple(x.shape[1:])}")
        return -self.weight * sum_features((x - reference) ** 2)


@dataclass(frozen=True)
class MeanColour(Reward):
    """−weight Σ_c (mean of channel c − colour_c)², per dimension of the channel; colour in model units.

    Reference: Sohl-Dickstein et al. 2015, section 2.5 (a prior by its logarithm).
    """

    colour: tuple[float, ...] = (0.0,)
    weight: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.flatten(2) if x.dim() > 2 else x[..., None]
        if len(self.colour) not in (1, flat.shape[1]):
            raise ValueError(f"a colour of {len(self.colour)} channels was given for data of {flat.shape[1]}")
        wanted = torch.tensor(self.colour).to(x)
        return -self.weight * flat.shape[2] * ((flat.mean(2) - wanted) ** 2).sum(1)


@dataclass(frozen=True)
class RegionAverage(Reward):
    """−weight n (mean over a box − value)², n its number of pixels; `box` is top, left, height, width.

    Reference: Sohl-Dickstein et al. 2015, section 2.5 (a prior by its logarithm).
    """

    box: tuple[int, ...] = (0, 0, 1, 1)
    value: float = 0.0
    weight: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.box) != 4 or x.dim() != 4:
            raise ValueError(f"a box is top,left,height,width of an image, not {self.box} of {tuple(x.shape[1:])}")
        top, left, height, width = self.box
        part = x[:, :, top : top + height, left : left + width]
        if min(self.box[:2]) < 0 or part.shape[2:] != (height, width) or not part.numel():
            raise ValueError(f"the box {self.box} does not lie in an image of {x.shape[2]}×{x.shape[3]}")
        return -self.weight * height * width * (part.flatten(1).mean(1) - self.value) ** 2


def differences(x: Tensor) -> list[Tensor]:
    """x shifted by one minus x along every axis of space (of (B, D): along D)."""
    axes = range(2, x.dim()) if x.dim() > 2 else (1,)
    return [x.diff(dim=axis) for axis in axes]
