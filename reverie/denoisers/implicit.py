"""A denoiser that draws x_0 from p(x_0 | x_t) instead of stating its mean: what a conditional GAN learns.

    p(x_0 | x_t) = ∫ p(z) δ(x_0 − G(x_t, t, z)) dz,     z ~ N(0, I)
When steps are large the posterior has many modes and no normal law is near it; one draw from it, followed by the bridge
q(x_s | x_0, x_t), is a draw from the true reverse step. z is a hash of the example's own x_t, whose noise is fresh at
every step: a denoiser stays a function of its arguments, samples depend on (seed, number) alone, and the ordinary
ancestral sampler needs to know nothing.
Reference: Xiao, Kreis & Vahdat 2022, arXiv:2112.07804, section 3.2, equation 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, batch, expand
from reverie.denoisers.base import Condition
from reverie.denoisers.network import Learned
from reverie.denoisers.prediction import Prediction, input_scale, noise_level
from reverie.processes import Gaussian

_FACTOR = 0x5851F42D4C957F2D  # odd, of 63 bits (Knuth, MMIX)


class ImplicitDenoiser(Learned):
    """A point mass at G(x_t, t, z), z of `latent` numbers laid beside the input's channels, the same at every pixel.

    `critic` is the network that judged its draws in training: for x_s and x_t side by side as channels, its mean answer
    is the score. Sampling does not use it.
    Raises ValueError when the prediction cannot be inverted at the schedule's end, or without a latent number.
    """

    process: Gaussian

    def __init__(
        self,
        process: Gaussian,
        network: nn.Module,
        prediction: Prediction,
        critic: nn.Module,
        *,
        latent: int = 8,
        data_std: float = 1.0,
    ) -> None:
        super().__init__()
        prediction.check(process.schedule)
        if latent < 1:
            raise ValueError(f"latent must be at least 1, not {latent}")
        self.process, self.network, self.prediction, self.critic = process, network, prediction, critic
        self.latent, self.data_std = latent, data_std
        self.condition = Condition()

    @classmethod
    def asks(cls, shape: tuple[int, ...], options: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
        """`latent` channels more than the data have."""
        return (shape[0] + int(options.get("latent", 8)), *shape[1:]), 1

    @classmethod
    def judges(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the critic sees: x_s and x_t side by side."""
        return (2 * shape[0], *shape[1:])

    def score(self, xs: Tensor, xt: Tensor, t: Scalar, *, frozen: bool = False) -> Tensor:
        """D(x_s, x_t, t), (B,): high where x_s looks true; `frozen` lets no gradient reach the critic's weights."""
        schedule = self.process.schedule
        pair = expand(input_scale(schedule, t, self.data_std), xt) * torch.cat((xs, xt), 1)
        weights = {name: p.detach() if frozen else p for name, p in self.critic.named_parameters()}
        noise = batch(noise_level(schedule, t), xt).to(pair)
        return torch.func.functional_call(self.critic, weights, (pair, noise, *self.bound(xt))).flatten(1).mean(1)

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        schedule = self.process.schedule
        scaled = expand(input_scale(schedule, t, self.data_std), xt) * xt
        noise = batch(noise_level(schedule, t), xt).to(scaled)
        z = latent_of(xt, self.latent).reshape(len(xt), -1, *(1,) * (xt.dim() - 2))
        seen = torch.cat((scaled, z.expand(-1, -1, *xt.shape[2:])), 1)
        out = self.network(seen, noise, *self.bound(xt))[:, : xt.shape[1]]
        return Normal(self.prediction.x0(schedule, out.to(xt.dtype), xt, t))


def latent_of(xt: Tensor, count: int) -> Tensor:
    """z ~ N(0, I), (B, count), from the bits of each example: Σ_k bits_k aᵏ mod 2⁶⁴ names its stream."""
    bits = xt.detach().flatten(1).float().contiguous().view(torch.int32).to("cpu", torch.int64)
    powers = torch.full(bits.shape[1:], _FACTOR).cumprod(0)
    return Rng(0).fork("latent").at((bits * powers).sum(1)).normal(xt.new_empty(len(xt), count))
