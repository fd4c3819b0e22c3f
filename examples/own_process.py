"""A process of your own: counts that lose their members one by one (thinning), trained, bounded and sampled.

q(x_t | x_s) = Binomial(x_s, (1 - t)/(1 - s)): each thing counted survives to t with probability 1 - t, on its own.
"""

import math
from dataclasses import dataclass

import torch

from reverie.core.discrete import state
from reverie.core.rng import Rng
from reverie.denoisers import TokenDenoiser
from reverie.likelihoods import Elbo
from reverie.losses import CrossEntropy
from reverie.networks import Mlp
from reverie.processes import Chain
from reverie.samplers import Ancestral, sample
from reverie.training.fitting import fit


@dataclass(frozen=True)
class Thinning(Chain):  # counts 0 ... bins - 1, at t = 1 all 0
    bins: int = 8

    def stationary(self):
        return torch.eye(self.bins, dtype=torch.float64)[0]

    def rows(self, s, t, like):
        """Q[i, j] = C(i, j) k^j (1 - k)^(i - j), k = (1 - t)/(1 - s); one for all, or one for each example."""
        keep = torch.as_tensor((1 - t) / (1 - s), dtype=torch.float64).reshape(-1, 1, 1)
        i, j = (v.double() for v in torch.meshgrid(*[torch.arange(self.bins)] * 2, indexing="ij"))
        ways = torch.exp(torch.lgamma(i + 1) - torch.lgamma(j + 1) - torch.lgamma((i - j).clamp(min=0) + 1))
        return (ways * keep**j * (1 - keep) ** (i - j).clamp(min=0) * (j <= i)).to(like)

    def push(self, weights, s, t):
        return (weights.flatten(1, -2) @ self.rows(s, t, weights)).reshape(weights.shape)

    def pull(self, xt, s, t, like):
        flat = torch.nn.functional.one_hot(xt, self.bins).to(like.dtype).flatten(1, -2)
        return (flat @ self.rows(s, t, flat).mT).reshape(*xt.shape, self.bins)


def counts(rows, rng):  # pairs of counts that sum to 7, as levels
    first = rng.integers(rows, 8)
    return torch.stack((first, 7 - first), 1) / 3.5 - 1


def main(updates=300):
    process = Thinning()
    network = Mlp(shape=TokenDenoiser.asks((2,), {"width": 8})[0], width=64, depth=1)
    denoiser = TokenDenoiser(process, network, width=8)
    list(fit(denoiser, CrossEntropy(steps=20), counts, updates=updates, size=128, rate=1e-2))
    bits = Elbo(steps=20)(denoiser, counts(500, Rng(1)), rng=Rng(2)).total.mean() / math.log(2)
    drawn = state(sample(denoiser, (500, 2), sampler=Ancestral(), steps=20, rng=Rng(3)), process.bins)
    return {"bound in bits (the truth is 3)": float(bits), "sums of 7": float((drawn.sum(1) == 7).float().mean())}


if __name__ == "__main__":
    print(main())
