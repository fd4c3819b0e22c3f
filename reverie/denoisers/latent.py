"""Diffusion in the codes of an autoencoder: a denoiser whose x_0 is not the data but what an encoder made of them.

    z = (e − c)/s,  e ~ q(e | x)              the codes, standardised channel by channel
    p(x) = ∫ p(x | c + s z) p(z) dz           p(z) by diffusion, p(x | e) by the autoencoder's decoder
Samplers, guidance and losses see a denoiser of z like any other; whoever reads data in or writes samples out asks its
`stage`. Reference: Rombach et al. 2022, arXiv:2112.10752; Vahdat et al. 2021, arXiv:2106.05931, equation 5.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Self, cast, final

import torch
from torch import Tensor, nn

from reverie.core.distributions import Distribution
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar
from reverie.denoisers.base import Condition, Denoiser


class Stage(nn.Module):
    """An autoencoder with the standardisation of its codes; its weights are fixed.

    `autoencoder` has `code` (the shape of a code), `encode(x)` and `decode(e)`, which state
    q(e | x) and p(x | e), and `read(e)`, the data that a code stands for.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False)
        self.shape: tuple[int, ...] = tuple(autoencoder.code)
        self.register_buffer("centre", torch.zeros(self.shape[0]))
        self.register_buffer("spread", torch.ones(self.shape[0]))

    @torch.no_grad()
    def standardise(self, x: Tensor, *, rng: Rng) -> Self:
        """Take centre and spread of every channel from the codes of these data (N, *D)."""
        e = self.law(x).sample(rng).double().transpose(0, 1).flatten(1)
        self.centre.copy_(e.mean(1))
        self.spread.copy_(e.std(1, correction=0).clamp(min=1e-6))
        return self

    def law(self, x: Tensor) -> Distribution:
        """q(e | x), (B, *shape)."""
        return self.autoencoder.encode(x)

    def into(self, e: Tensor) -> Tensor:
        """z = (e − c)/s."""
        return (e - self._channels(self.centre, e)) / self._channels(self.spread, e)

    @torch.no_grad()
    def encode(self, x: Tensor, *, rng: Rng) -> Tensor:
        """z of one draw from q(e | x), (B, *shape)."""
        return self.into(self.law(x).sample(rng)).to(x)

    def back(self, z: Tensor) -> Tensor:
        """e = c + s z."""
        return self._channels(self.centre, z) + self._channels(self.spread, z) * z

    def decode(self, z: Tensor) -> Distribution:
        """p(x | z), (B, *D)."""
        return self.autoencoder.decode(self.back(z))

    def read(self, z: Tensor) -> Tensor:
        """The data that z stands for, without the decoder's noise, (B, *D)."""
        return self.autoencoder.read(self.back(z))

    @property
    def log_spread(self) -> float:
        """Σ log s over a code's numbers, nats: −log p(e) = −log p(z) + Σ log s."""
        return float(self.spread.double().log().sum()) * math.prod(self.shape[1:])

    @staticmethod
    def _channels(numbers: Tensor, like: Tensor) -> Tensor:
        return numbers.to(like).reshape(-1, *(1,) * (like.dim() - 2))


class Latent(Denoiser):
    """p(z | z_t) by `denoiser`, beside the `stage` that turns data into z and z into data."""

    def __init__(self, denoiser: Denoiser, stage: Stage) -> None:
        super().__init__()
        self.denoiser, self.stage, self.process = denoiser, stage, denoiser.process

    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        return self.denoiser(xt, t)

    @property
    def network(self) -> nn.Module:
        """The network that denoises codes. Raises AttributeError where the denoiser asks none."""
        return cast(nn.Module, self.denoiser.network)

    @final
    def given(self, condition: Condition) -> Self:
        """The same stage, the condition bound to the denoiser of codes."""
        bound = copy.copy(self)
        bound._modules = {**self._modules, "denoiser": self.denoiser.given(condition)}
        return bound
