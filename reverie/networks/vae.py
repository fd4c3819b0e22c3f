"""The variational autoencoder, where the derivation of diffusion starts: one learned step there and one back.

    z = μ(x) + σ(x) ε,  ε ~ N(0, I)                                 (reparameterisation)
    −log p(x) ≤ KL(N(μ, σ²) ‖ N(0, I)) − log p(x | z)                       (two terms, in nats)
    −log p(x) ≤ −log (1/K) Σ_k p(x | z_k) p(z_k)/q(z_k | x)                 (K samples: never looser)
x is read as levels of a normal whose standard deviation is learned for each value: its bits per dimension stand beside
a diffusion model's of the same data.
References: Kingma & Welling 2014, arXiv:1312.6114, equations 3 and 10; Burda et al. 2016, arXiv:1509.00519, equation 8.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.discretized import DiscretizedNormal
from reverie.core.distributions import Distribution, Normal
from reverie.core.rng import Rng
from reverie.networks.base import at_least
from reverie.networks.layers import Linear
from reverie.networks.weights import initialise


class Vae(nn.Module):
    """Encoder and decoder of `depth` hidden layers of `width` units, for data (B, *shape) and codes (B, `latent`).

    `bins`: levels of the data on [−1, 1]; 0 for data without levels, whose density is a plain normal.
    """

    def __init__(
        self, *, shape: tuple[int, ...], bins: int = 0, latent: int = 8, width: int = 256, depth: int = 2
    ) -> None:
        super().__init__()
        at_least(latent=(latent, 1), width=(width, 1), depth=(depth, 0), bins=(bins, 0))
        if bins == 1:
            raise ValueError("bins must be 0 (none) or at least 2, not 1")
        self.shape, self.bins, self.latent = tuple(shape), bins, latent
        size = math.prod(shape)
        self.encoder = _layers([size, *[width] * depth], 2 * latent)
        self.decoder = _layers([latent, *[width] * depth], 2 * size)
        initialise(self, 0)

    def encode(self, x: Tensor) -> Normal:
        """q(z | x), (B, latent)."""
        mean, log_std = _through(self.encoder, x.flatten(1)).chunk(2, 1)
        return Normal(mean, torch.exp(log_std.clamp(-8, 8)))

    def decode(self, z: Tensor) -> Distribution:
        """p(x | z), (B, *shape)."""
        mean, log_std = _through(self.decoder, z).chunk(2, 1)
        mean, std = (v.reshape(-1, *self.shape) for v in (mean, torch.exp(log_std.clamp(-6, 4))))
        return DiscretizedNormal(mean, std, self.bins) if self.bins else Normal(mean, std)

    def prior(self, rows: int) -> Normal:
        """p(z) = N(0, I)."""
        return Normal(torch.zeros(rows, self.latent).to(next(self.parameters())), 1.0)

    def terms(self, x: Tensor, *, rng: Rng) -> dict[str, Tensor]:
        """`reconstruction` = −log p(x | z) for one z ~ q(z | x), and `divergence` = KL(q ‖ p), nats (B,) each."""
        law = self.encode(x)
        cost = -self.decode(law.sample(rng)).log_prob(x)
        return {"reconstruction": cost, "divergence": law.kl(self.prior(len(x))).to(cost)}

    def importance(self, x: Tensor, *, samples: int, rng: Rng) -> Tensor:
        """The K-sample bound on −log p(x), nats (B,)."""
        law, prior = self.encode(x), self.prior(len(x))
        weights = []
        for k in range(samples):
            z = law.sample(rng.fork(k))
            weights.append(self.decode(z).log_prob(x).double() + (prior.log_prob(z) - law.log_prob(z)).double())
        return math.log(samples) - torch.stack(weights).logsumexp(0)

    @torch.no_grad()
    def mismatch(self, x: Tensor, *, rng: Rng) -> float:
        """KL of the aggregated posterior from the prior, both taken as normals: ½ (|m|² + tr C − n − log det C), nats.

        m, C are mean and covariance of z over the data. It measures how far the codes of data and the draws of the
        prior are apart, and is 0 where sampling from the prior meets what the decoder was trained on (to second order).
        """
        z = self.encode(x).sample(rng).double()
        centred = z - z.mean(0)
        covariance = centred.T @ centred / len(z)
        trace, size = covariance.diag().sum() + z.mean(0).square().sum(), z.shape[1]
        return float(0.5 * (trace - size - torch.logdet(covariance)))

    @torch.no_grad()
    def sample(self, count: int, *, rng: Rng) -> Tensor:
        """x ~ p(x | z), z ~ N(0, I): the decoder's mean, (count, *shape)."""
        return self.decode(self.prior(count).sample(rng)).mean


def _layers(sizes: list[int], outputs: int) -> nn.ModuleList:
    inner = [Linear(a, b, gain=math.sqrt(2), offset=0.1) for a, b in itertools.pairwise(sizes)]
    return nn.ModuleList([*inner, Linear(sizes[-1], outputs, gain=0.1)])


def _through(layers: nn.ModuleList, h: Tensor) -> Tensor:
    for layer in layers[:-1]:
        h = F.silu(layer(h))
    return layers[-1](h)
