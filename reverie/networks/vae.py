"""The variational autoencoder, where the derivation of diffusion starts: one learned step there and one back.

    z = μ(x) + σ(x) ε,  ε ~ N(0, I)                                 (reparameterisation)
    −log p(x) ≤ KL(N(μ, σ²) ‖ N(0, I)) − log p(x | z)                       (two terms, in nats)
    −log p(x) ≤ −log (1/K) Σ_k p(x | z_k) p(z_k)/q(z_k | x)                 (K samples: never looser)
x is read as levels of a normal whose standard deviation is learned for each value: its bits per dimension stand beside
a diffusion model's of the same data. Codes of pictures and signals are smaller pictures and signals, so that a
diffusion model can be trained on them (Rombach et al. 2022, arXiv:2112.10752).
References: Kingma & Welling 2014, arXiv:1312.6114, equations 3 and 10; Burda et al. 2016, arXiv:1509.00519, equation 8.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.discretized import DiscretizedNormal
from reverie.core.distributions import Distribution, Normal
from reverie.core.rng import Rng
from reverie.networks.base import at_least
from reverie.networks.blocks import double, fold, folded, unfold
from reverie.networks.layers import Linear, channel_norm, convolution
from reverie.networks.weights import initialise


class Vae(nn.Module, ABC):
    """q(z | x) and p(x | z) for data (B, *shape) and codes (B, *code); an entry says how both are computed.

    `bins`: levels of the data on [−1, 1]; 0 for data without levels, whose density is a plain normal.
    """

    shape: tuple[int, ...]
    code: tuple[int, ...]
    bins: int

    def _state(self, shape: tuple[int, ...], code: tuple[int, ...], bins: int) -> None:
        """Keep what every autoencoder has. Raises ValueError for numbers of levels that cannot be."""
        nn.Module.__init__(self)
        if bins == 1 or bins < 0:
            raise ValueError(f"bins must be 0 (none) or at least 2, not {bins}")
        self.shape, self.code, self.bins = tuple(shape), tuple(code), bins

    @abstractmethod
    def inward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log std of the code, (B, *code) each."""

    @abstractmethod
    def outward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log std of the data, (B, *shape) each."""

    @final
    def encode(self, x: Tensor) -> Normal:
        """q(z | x), (B, *code), in the precision of x whatever the network's: in bf16, 1 − σ² of a small σ is 1."""
        mean, log_std = (v.to(x.dtype) for v in self.inward(x))
        return Normal(mean, torch.exp(log_std.clamp(-8, 8)))

    @final
    def decode(self, z: Tensor) -> Distribution:
        """p(x | z), (B, *shape)."""
        mean, log_std = (v.to(z.dtype) for v in self.outward(z))
        std = torch.exp(log_std.clamp(-6, 4))
        return DiscretizedNormal(mean, std, self.bins) if self.bins else Normal(mean, std)

    @final
    def prior(self, rows: int) -> Normal:
        """p(z) = N(0, I)."""
        return Normal(torch.zeros(rows, *self.code).to(next(self.parameters())), 1.0)

    @final
    def terms(self, x: Tensor, *, rng: Rng) -> dict[str, Tensor]:
        """`reconstruction` = −log p(x | z) for one z ~ q(z | x), and `divergence` = KL(q ‖ p), nats (B,) each."""
        law = self.encode(x)
        cost = -self.decode(law.sample(rng)).log_prob(x)
        return {"reconstruction": cost, "divergence": law.kl(self.prior(len(x))).to(cost)}

    @final
    def importance(self, x: Tensor, *, samples: int, rng: Rng) -> Tensor:
        """The K-sample bound on −log p(x), nats (B,)."""
        law, prior = self.encode(x), self.prior(len(x))
        weights = []
        for k in range(samples):
            z = law.sample(rng.fork(k))
            weights.append(self.decode(z).log_prob(x).double() + (prior.log_prob(z) - law.log_prob(z)).double())
        return math.log(samples) - torch.stack(weights).logsumexp(0)

    @final
    @torch.no_grad()
    def mismatch(self, x: Tensor, *, rng: Rng) -> float:
        """KL of the aggregated posterior from the prior, both taken as normals: ½ (|m|² + tr C − n − log det C), nats.

        m, C are mean and covariance of z over the data. It measures how far the codes of data and the draws of the
        prior are apart, and is 0 where sampling from the prior meets what the decoder was trained on (to second order).
        """
        z = self.encode(x).sample(rng).flatten(1).double()
        centred = z - z.mean(0)
        covariance = centred.T @ centred / len(z)
        trace, size = covariance.diag().sum() + z.mean(0).square().sum(), z.shape[1]
        return float(0.5 * (trace - size - torch.logdet(covariance)))

    @final
    def read(self, z: Tensor) -> Tensor:
        """The decoder's mean within the bounds that data with levels have, (B, *shape)."""
        mean = self.decode(z).mean
        return mean.clamp(-1, 1) if self.bins else mean

    @final
    @torch.no_grad()
    def sample(self, count: int, *, rng: Rng) -> Tensor:
        """The reading of z ~ N(0, I), (count, *shape)."""
        return self.read(self.prior(count).sample(rng))


class DenseVae(Vae):
    """`depth` hidden layers of `width` units on each side of a code of `latent` numbers: for points and short rows."""

    def __init__(
        self, *, shape: tuple[int, ...], bins: int = 0, latent: int = 8, width: int = 256, depth: int = 2
    ) -> None:
        at_least(latent=(latent, 1), width=(width, 1), depth=(depth, 0))
        self._state(shape, (latent,), bins)
        size = math.prod(shape)
        self.latent, self.width, self.depth = latent, width, depth
        self.encoder = _layers([size, *[width] * depth], 2 * latent)
        self.decoder = _layers([latent, *[width] * depth], 2 * size)
        initialise(self, 0)

    def inward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = _through(self.encoder, x.flatten(1)).chunk(2, 1)
        return mean, log_std

    def outward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = (v.reshape(-1, *self.shape) for v in _through(self.decoder, z).chunk(2, 1))
        return mean, log_std


class ConvVae(Vae):
    """Convolutions at `levels` + 1 sizes: (C, *space) ↔ `latent` channels, each axis patch · 2^levels times shorter.

    `depth` residual blocks at each size, `width` channels at the largest and twice as many at every next one.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        bins: int = 0,
        latent: int = 4,
        width: int = 48,
        depth: int = 2,
        levels: int = 0,
        patch: int = 4,
    ) -> None:
        at_least(latent=(latent, 1), width=(width, 1), depth=(depth, 1), levels=(levels, 0), patch=(patch, 1))
        if not 2 <= len(shape) <= 4 or min(shape) < 1:
            raise ValueError(f"convolutions need (C, *space) with up to three axes, not {tuple(shape)}; use dense-vae")
        sizes = [tuple(n if n == 1 else -(-n // patch) for n in shape[1:])]
        for _ in range(levels):
            sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
        self._state(shape, (latent, *sizes[-1]), bins)
        self.latent, self.width, self.depth, self.levels, self.patch = latent, width, depth, levels, patch
        axes, widths, channels = len(shape) - 1, [width * 2**k for k in range(levels + 1)], folded(shape, patch)
        self.flat, self.sizes = axes == 1, sizes
        self.entry = convolution(axes, channels, width, offset=0.5)
        self.down = nn.ModuleList(_blocks(axes, w, depth) for w in widths)
        self.halve = nn.ModuleList(convolution(axes, w, 2 * w, stride=2) for w in widths[:-1])
        self.bottleneck = convolution(axes, widths[-1], 2 * latent, gain=0.3)
        self.opening = convolution(axes, latent, widths[-1], offset=0.5)
        self.up = nn.ModuleList(_blocks(axes, w, depth) for w in widths)
        self.widen = nn.ModuleList(convolution(axes, 2 * w, w) for w in widths[:-1])
        self.exit = convolution(axes, width, 2 * channels, gain=0.1)
        initialise(self, 0)

    def inward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = fold(x, self.patch)
        h = self.entry(h.unsqueeze(2) if self.flat else h)
        for level, block in enumerate(self.down):
            h = block(h)
            h = self.halve[level](h) if level < self.levels else h
        return self._two(self.bottleneck(channel_norm(h)))

    def outward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        h = self.opening(z.unsqueeze(2) if self.flat else z)
        for level in reversed(range(self.levels + 1)):
            h = self.up[level](h)
            if level:
                size = (1,) * self.flat + self.sizes[level - 1]
                h = self.widen[level - 1](double(h, torch.Size(size)))
        mean, log_std = self._two(self.exit(F.silu(channel_norm(h))))
        return unfold(mean, self.patch, self.shape[1:]), unfold(log_std, self.patch, self.shape[1:])

    def _two(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = (h.squeeze(2) if self.flat else h).chunk(2, 1)
        return mean, log_std


class Plain(nn.Module):
    """x + conv(SiLU(conv(norm(x))))."""

    def __init__(self, axes: int, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(axes, width, width), convolution(axes, width, width, gain=0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(channel_norm(x))))


def _blocks(axes: int, width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Plain(axes, width) for _ in range(depth)))


def _layers(sizes: list[int], outputs: int) -> nn.ModuleList:
    inner = [Linear(a, b, gain=math.sqrt(2), offset=0.1) for a, b in itertools.pairwise(sizes)]
    return nn.ModuleList([*inner, Linear(sizes[-1], outputs, gain=0.1)])


def _through(layers: nn.ModuleList, h: Tensor) -> Tensor:
    for layer in layers[:-1]:
        h = F.silu(layer(h))
    return layers[-1](h)
