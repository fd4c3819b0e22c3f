"""The one regression loss: L = w(λ_t) ‖x_0 − x̂_0(x_t, t)‖²/D, averaged over t and ε.

Crossed with a weight and a law of times it is L_simple, the v-loss, EDM's loss, flow matching, min-SNR, or
denoising score matching weighted by σ². Reference: Ho et al. 2020, equation 14; Kingma & Gao 2023, arXiv:2303.00848.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import expand, mean_features
from reverie.denoisers import Denoiser
from reverie.denoisers.decoder import schedule_of
from reverie.losses.base import TimedLoss
from reverie.losses.times import Continuous, Times
from reverie.losses.weights import Simple, Weight


@dataclass(frozen=True)
class Regression(TimedLoss):
    """w(λ_t) times the mean squared error of x̂_0 over the elements.

    `antithetic`: neighbouring examples 2k, 2k+1 get noise ε and −ε.
    """

    weight: Weight = field(default_factory=Simple)
    times: Times = field(default_factory=Continuous)
    antithetic: bool = False

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        schedule = schedule_of(denoiser.process)
        noised = denoiser.process.marginal(x0, t)
        xt = noised.mean + noised.std * self._noise(x0, rng)
        error = mean_features((x0 - denoiser(xt, t).mean) ** 2)
        return expand(self.weight(schedule.log_snr(t)), error) * error

    def _noise(self, x0: Tensor, rng: Rng) -> Tensor:
        if not self.antithetic:
            return rng.fork("eps").normal(x0)
        number = rng.numbers(len(x0))
        sign = (1 - 2 * (number % 2)).to(x0)
        return expand(sign, x0) * rng.at(number // 2).fork("eps").normal(x0)
