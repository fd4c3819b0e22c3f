"""A denoising diffusion GAN: at each of a few large steps, a critic tells drawn x_s from true ones, given x_t.

    x_t ~ q(x_t | x_0),  true x_s ~ q(x_s | x_0, x_t),  drawn x_s ~ q(x_s | x̂_0, x_t) with x̂_0 the denoiser's draw
    denoiser:  E softplus(−D(drawn, x_t, t))
    critic:    E softplus(−D(true, x_t, t)) + E softplus(D(drawn, x_t, t)) + ½ γ E ‖∇_{x_s} D(true, x_t, t)‖²
With one step, t = 1 and x_t is pure noise: a plain GAN. Both players descend at once: the loss is the sum of the two
lines, the first without a gradient for the critic, the second without one for the denoiser, so that one optimizer
serves both. The sum itself says nothing about quality (at the game's rest point it is 3 log 2).
References: Xiao, Kreis & Vahdat 2022, arXiv:2112.07804, equations 4 and 6; Mescheder et al. 2018, arXiv:1801.04406.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.core.tensors import sum_features
from reverie.denoisers import Denoiser, ImplicitDenoiser
from reverie.losses.base import Loss
from reverie.losses.times import Discrete


@dataclass(frozen=True)
class Adversarial(Loss):
    """The game over T = `steps` steps; `penalty` is γ.

    Raises ValueError for options out of range, UserError for a denoiser without a critic.
    """

    steps: int = 4
    penalty: float = 0.05

    def __post_init__(self) -> None:
        if self.steps < 1 or self.penalty < 0:
            raise ValueError(f"needs steps >= 1 and penalty >= 0, not {self.steps} and {self.penalty}")

    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
        if not isinstance(denoiser, ImplicitDenoiser):
            name = type(denoiser).__name__
            raise UserError(f"the adversarial loss needs a critic: choose the denoiser 'implicit-denoiser', not {name}")
        process, t = denoiser.process, Discrete(steps=self.steps).draw(denoiser.process, rng, len(x0))
        s = ((t * self.steps).round() - 1) / self.steps
        xt = process.marginal(x0, t).sample(rng.fork("eps"))
        true = process.bridge(x0, xt, s, t).sample(rng.fork("true"))
        drawn = process.bridge(denoiser(xt, t).mean, xt, s, t).sample(rng.fork("drawn"))
        fooling = F.softplus(-denoiser.score(drawn, xt, t, frozen=True))
        return fooling + self._telling(denoiser, true, drawn.detach(), xt, t)

    def _telling(self, denoiser: ImplicitDenoiser, true: Tensor, drawn: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """The critic's line; without its penalty where no gradients are kept."""
        steep = torch.is_grad_enabled() and self.penalty > 0
        true = true.detach().requires_grad_(steep)
        told = denoiser.score(true, xt, t)
        loss = F.softplus(-told) + F.softplus(denoiser.score(drawn, xt, t))
        if not steep:
            return loss
        slope = torch.autograd.grad(told.sum(), true, create_graph=True)[0]
        return loss + 0.5 * self.penalty * sum_features(slope.square())
