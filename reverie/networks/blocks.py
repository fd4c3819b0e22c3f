"""The parts of a convolutional network: residual block, attention, halving and doubling, pixels into channels.

Reference: Dhariwal & Nichol 2021, arXiv:2105.05233, section 3; Shi et al. 2016, arXiv:1609.05158 (pixel shuffle).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.networks.base import Block
from reverie.networks.embedding import channel_dropout
from reverie.networks.layers import Linear, channel_norm, convolution


def spread(vector: Tensor, like: Tensor) -> Tensor:
    """(B, C) shaped to meet (B, C, *space)."""
    return vector.reshape(*vector.shape, *(1,) * (like.dim() - 2))


class Residual(Block):
    """x + conv(SiLU((1 + a) conv(norm(x)) + b)), with (a, b) read from the embedding.

    One normalisation and one SiLU: a second pair costs a fifth of the step on a CPU and gained nothing in equal time.
    """

    def __init__(self, axes: int, width: int, *, embedding: int, dropout: float = 0.0, number: int = 0) -> None:
        super().__init__()
        self.dropout, self.number = dropout, number
        self.first = convolution(axes, width, width)
        self.modulation = Linear(embedding, 2 * width, gain=0.3)
        self.second = convolution(axes, width, width, gain=0.3)

    def forward(self, x: Tensor, embedding: Tensor, noise: Tensor) -> Tensor:
        h = self.first(channel_norm(x))
        scale, shift = spread(self.modulation(embedding), h).to(h.dtype).chunk(2, 1)
        h = F.silu(h * (1 + scale) + shift)
        if self.dropout and self.training:
            h = channel_dropout(h, noise, rate=self.dropout, layer=self.number)
        return x + self.second(h)


class Attention(Block):
    """x + W softmax(q·k/√d) v over all pixels, with `heads` heads (one wide head is fastest).

    Reference: Vaswani et al. 2017, equation 1.
    """

    def __init__(self, width: int, *, heads: int = 1) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} channels cannot be cut into {heads} heads")
        self.heads = heads
        self.into, self.out = Linear(width, 3 * width, bias=False), Linear(width, width, gain=0.3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        mixed = attend(self.into(F.layer_norm(tokens, tokens.shape[2:])), self.heads)
        return x + self.out(mixed).transpose(1, 2).reshape(x.shape)


def attend(parts: Tensor, heads: int) -> Tensor:
    """softmax(q·k/√d) v for `heads` heads of d channels; q, k, v side by side: (B, N, 3 W) → (B, N, W).

    Plain batched products: on a CPU they beat the fused kernel for the small pictures that are trained there.
    """
    batch, count, triple = parts.shape
    size = triple // (3 * heads)
    q, k, v = parts.view(batch, count, 3, heads, size).permute(2, 0, 3, 1, 4).flatten(1, 2).unbind(0)
    weight = torch.bmm(q, k.transpose(1, 2)).mul(1 / math.sqrt(size)).softmax(-1)
    mixed = torch.bmm(weight.to(v.dtype), v)
    return mixed.view(batch, heads, count, size).transpose(1, 2).reshape(batch, count, heads * size)


def cut(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """The first pixels along each axis: (B, C, *space) → (B, C, *size)."""
    for axis, n in enumerate(size, 2):
        if x.shape[axis] != n:
            x = x.narrow(axis, 0, n)
    return x


def double(x: Tensor, size: torch.Size) -> Tensor:
    """Every pixel repeated twice along each axis, then cut to `size`, (B, C, *size): the adjoint grid of stride 2."""
    factors = tuple(2.0 if n > 1 else 1.0 for n in size)
    return cut(F.interpolate(x, scale_factor=factors, mode="nearest"), size)


def fold(x: Tensor, patch: int) -> Tensor:
    """Pixels of each patch into channels: (B, C, *space) → (B, C·patch^axes, *ceil(space/patch)).

    The border is repeated where the patch does not divide the size; axes of length one stay as they are.
    """
    for axis in range(2, x.dim()):
        if x.shape[axis] == 1 or patch == 1:
            continue
        missing = -x.shape[axis] % patch
        if missing:
            x = torch.cat((x, x.narrow(axis, x.shape[axis] - 1, 1).expand_as(x.narrow(axis, 0, missing))), axis)
        x = x.unflatten(axis, (-1, patch)).movedim(axis + 1, 2).flatten(1, 2)
    return x


def unfold(x: Tensor, patch: int, size: tuple[int, ...]) -> Tensor:
    """The inverse of `fold`, cut to `size`: (B, C·patch^axes, *space) → (B, C, *size)."""
    for axis in reversed(range(2, x.dim())):
        if size[axis - 2] == 1 or patch == 1:
            continue
        x = x.unflatten(1, (-1, patch)).movedim(2, axis + 1).flatten(axis, axis + 1)
    return cut(x, size)


def folded(shape: tuple[int, ...], patch: int) -> int:
    """How many channels `fold` makes of an array of `shape` (C, *space)."""
    return shape[0] * patch ** sum(n > 1 for n in shape[1:])
