"""The swiss roll of the 2015 paper: 40 steps, a radial basis network of 16 units, learned noise, diagonal covariance.

The data are points of the curve (θ cos θ, θ sin θ), θ = 1.5π(1 + 2u), without noise, each coordinate scaled to unit
variance; the paper does not give its noise, and without any the bound is limited by the model alone. The hidden units
are normalised radial bases of y = x_t/α, shared by all steps,
    φ_j = exp(−½ ‖y − c_j‖²/w_j²)/Σ_k exp(−½ ‖y − c_k‖²/w_k²)
and every step reads mean and standard deviation of x_0 linearly from φ_j and φ_j (y − c_j)/σ: a plane for each unit,
where the paper's read-out has a constant (ours; with constants 16 units cannot follow the curve closely). The β_i are
learnt with the network by the bound's own gradient, but for the first, which the bound would send to 0.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 3.1.1, section 2.4.1 and appendix D.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from reverie.core.distributions import LOG_2PI, Normal
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, batch, expand
from reverie.denoisers import Denoiser
from reverie.processes import Gaussian, Schedule
from reverie.training.heartbeat import Readouts

STEPS = 40
NULL = -(LOG_2PI + 1) / math.log(2)  # −log₂(2πe): two coordinates of N(0, 1)


class LearnedBetas(nn.Module, Schedule):
    """ᾱ_i = Π (1 − β_i), the first β fixed and the others learnt; between steps −log ᾱ is a straight line."""

    first: Tensor

    def __init__(self, steps: int, first: float) -> None:
        super().__init__()
        self.steps = steps
        # log SNR falls evenly from that of the first step to −4, where two coordinates keep 0.03 bits
        log_snr = torch.linspace(math.log((1 - first) / first), -4.0, steps, dtype=torch.float64)
        kept = torch.sigmoid(log_snr)
        betas = 1 - kept[1:] / kept[:-1]
        self.raw = nn.Parameter(torch.logit(betas))
        self.register_buffer("first", torch.tensor([first], dtype=torch.float64))

    def betas(self) -> Tensor:
        """β_1 … β_T, (T,)."""
        return torch.cat((self.first, self.raw.sigmoid()))

    def _erased(self, t: Scalar) -> Tensor:
        """−log ᾱ."""
        total = torch.cat((torch.zeros(1, dtype=torch.float64), -torch.log1p(-self.betas()).cumsum(0)))
        place = (torch.as_tensor(t, dtype=torch.float64) * self.steps).clamp(0, self.steps)
        low = place.floor().clamp(max=self.steps - 1).long()
        return torch.lerp(total[low], total[low + 1], place - low)

    def alpha(self, t: Scalar) -> Tensor:
        return torch.exp(-0.5 * self._erased(t))

    def sigma(self, t: Scalar) -> Tensor:
        return torch.sqrt(-torch.expm1(-self._erased(t)))


class RadialBasis(Denoiser):
    """N(α x_t + σ m_t, (σ e^{l_t})²) with read-outs (m_t, l_t) of the hidden units for every step."""

    process: Gaussian

    def __init__(self, centres: Tensor, *, steps: int = STEPS, first: float = 1e-5) -> None:
        super().__init__()
        schedule = LearnedBetas(steps, first)
        self.schedule, self.process = schedule, Gaussian(schedule)
        self.centres = nn.Parameter(centres.clone())
        self.log_widths = nn.Parameter(torch.zeros(len(centres)).to(centres) - 1.0)
        self.readouts = Readouts(3 * len(centres), 4, steps).to(centres)

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        schedule = self.process.schedule
        alpha, sigma = (expand(v, xt) + torch.zeros_like(xt[:, :1]) for v in (schedule.alpha(t), schedule.sigma(t)))
        apart = (xt / alpha)[:, None] - self.centres
        hidden = (-0.5 * apart.square().sum(2) * torch.exp(-2 * self.log_widths)).softmax(1)
        local = torch.cat((hidden[..., None], hidden[..., None] * apart / sigma[:, None]), 2).flatten(1)
        shift, log_std = self.readouts(local, batch(t, xt)).chunk(2, 1)
        return Normal(alpha * xt + sigma * shift, sigma * torch.exp(log_std.clamp(-6, 3)))


def points(count: int, rng: Rng) -> Tensor:
    """(count, 2) float64, each coordinate of mean 0 and variance 1."""
    return (_curve(rng.uniform(count)) - _MEAN) / _STD


def _curve(u: Tensor) -> Tensor:
    turn = 1.5 * math.pi * (1 + 2 * u)
    return torch.stack((turn * turn.cos(), turn * turn.sin()), 1)


_GRID = _curve((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
_MEAN, _STD = _GRID.mean(0), _GRID.std(0)
