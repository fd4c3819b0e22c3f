"""L_hybrid: the plain squared error teaches the mean, and the bound teaches the variance.

    L = w(λ_t) ‖x_0 − x̂_0‖²/D + λ T L_i,      the bound's gradient stopped at the mean
with L_i in bits per dimension. One evaluation of the network serves both.
Reference: Nichol & Dhariwal 2021, arXiv:2102.09672, section 3.1, equation 16.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.tensors import expand, mean_features
from reverie.core.units import bits_per_dim
from reverie.denoisers import Denoiser, gaussian
from reverie.losses.base import TimedLoss
from reverie.losses.elbo import bound_term, decoder_for
from reverie.losses.times import Discrete, Times
from reverie.losses.weights import Simple, Weight


@dataclass(frozen=True)
class Hybrid(TimedLoss):
    """L_simple + `scale` · L_vlb for a denoiser with a learned std; T = `steps`, times i/T (`Discrete`).

    `bins`: levels of the data on [−1, 1] for the decoder's term, 0 for data without levels.
    """

    weight: Weight = field(default_factory=Simple)
    times: Times = field(default_factory=Discrete)
    scale: float = 0.001
    steps: int = 1000
    bins: int = 256

    def __post_init__(self) -> None:
        if self.scale < 0 or self.steps < 1 or self.bins < 0 or self.bins == 1:
            raise ValueError("needs scale >= 0, steps >= 1, and bins of 0 (none) or at least 2")

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        process = gaussian(denoiser)
        xt = process.marginal(x0, t).sample(rng.fork("eps"))
        posterior = denoiser(xt, t)
        error = mean_features((x0 - posterior.mean) ** 2)
        simple = expand(self.weight(process.schedule.log_snr(t)), error) * error
        fixed = Normal(posterior.mean.detach(), posterior.std)
        nats = bound_term(process, fixed, x0, xt, t, steps=self.steps, decoder=decoder_for(self.bins))
        return simple + self.scale * self.steps * bits_per_dim(nats, x0[0].numel()).to(simple)
