"""What a denoiser asks of a network: tensors in, tensors of the same shape out.

A network knows shapes, a noise level and conditions; it does not know what diffusion is. Every one of them
    takes any shape: (D,) or (C, *space) with one, two or three axes, odd sizes and single pixels included,
    answers 0 for everything before training (its last layer starts at zero),
    is a function of its arguments alone: no batch statistics and no global randomness, dropout included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Network(nn.Module, ABC):
    """f(x, noise, label, numbers) for x of shape (B, *shape); the answer has `outputs` times as many channels.

    `shape` is (D,) for points or (C, *space); `classes` labels are 0 … classes − 1, and label `classes` (or None)
    means "unknown"; `conditions` numbers per example, of which NaN (or None for all) means "unknown".
    """

    shape: tuple[int, ...]
    outputs: int
    classes: int
    conditions: int

    def _state(self, shape: tuple[int, ...], outputs: int, classes: int, conditions: int) -> None:
        """Keep what every network has. Raises ValueError for sizes that cannot be."""
        nn.Module.__init__(self)
        if not 1 <= len(shape) <= 4 or min(shape) < 1:
            raise ValueError(f"shape must be (D,) or (C, *space) with up to three axes, not {tuple(shape)}")
        if outputs < 1 or classes < 0 or conditions < 0:
            raise ValueError(f"outputs {outputs}, classes {classes}, conditions {conditions}: too small")
        self.shape, self.outputs, self.classes, self.conditions = tuple(shape), outputs, classes, conditions

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None, numbers: Tensor | None = None) -> Tensor:
        """x (B, C, *space), noise (B,) about −5 to 5, label (B,) int64, numbers (B, K) → (B, outputs·C, *space)."""


class Block(nn.Module):
    """A repeated part of a network, which with `recompute` keeps nothing but its input for the gradient.

    What is inside is computed again on the way back: a third more arithmetic, far less memory, and the same gradient
    to the bit. Reference: Chen et al. 2016, arXiv:1604.06174.
    """

    recompute = False

    def __call__(self, *inputs: Any) -> Any:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(super().__call__, *inputs, use_reentrant=False, preserve_rng_state=False)
        return super().__call__(*inputs)


def recompute(network: nn.Module, on: bool = True) -> None:
    """Let every block of a network compute its insides again on the way back, or keep them."""
    for part in network.modules():
        if isinstance(part, Block):
            part.recompute = on


def at_least(**limits: tuple[float, float]) -> None:
    """Hold options against their least values: `at_least(width=(width, 1))`. Raises ValueError naming the option."""
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least:g}, not {value:g}")
