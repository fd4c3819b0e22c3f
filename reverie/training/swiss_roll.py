"""The swiss roll of the 2015 paper: 40 steps, a radial basis network of 16 units, learned noise, diagonal covariance.

The data are points of the curve (θ cos θ, θ sin θ), θ = 1.5π(1 + 2u), without noise, each coordinate scaled to unit
variance (`points`; the paper does not give its noise). The hidden units are normalised radial bases of y = x_t/α,
    φ_j = exp(−½ ‖y − c_j‖²/w_j²)/Σ_k exp(−½ ‖y − c_k‖²/w_k²)
shared by all steps, and every step reads mean and log std of x_0 linearly from φ_j, φ_j (y − c_j) and y: a plane for
each unit, where the paper's read-out has a constant.

How it is learned: the mean enters the bound as a weighted sum of squares, so its read-outs are solved at every update
(`solve`) and only what is left (centres, widths, β, read-outs of the spread) follows the gradient of the whole bound,
all 40 terms at once. Gradient steps alone leave the read-outs far from their optimum: near the curve the planes are
nearly dependent, and what matters there are small differences of large weights.
References: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 3.1.1, section 2.4.1 and appendix D.1; Golub & Pereyra
1973 (variable projection).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.distributions import LOG_2PI, Normal
from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, batch, expand
from reverie.denoisers import Denoiser
from reverie.denoisers.terms import denoising_term
from reverie.processes import Gaussian, Schedule

STEPS = 40
FIRST = 1e-6  # β_1: "a small constant" in the paper, which does not say which
NULL = -(LOG_2PI + 1) / math.log(2)  # −log₂(2πe): two coordinates of N(0, 1)
NEAR = 1e-10  # added to the diagonal of normalised normal equations


class LearnedBetas(nn.Module, Schedule):
    """ᾱ_i = Π (1 − β_i): β_1 is fixed, and log SNR falls from there to its last value in learned steps.

        λ_i = λ_1 − (λ_1 − λ_T) Σ_{j ≤ i} softmax(raw)_j,   ᾱ_i = sigmoid(λ_i)
    Between grid points −log ᾱ is a straight line.
    """

    top: Tensor

    def __init__(self, steps: int, first: float, last: float = -4.0) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("top", torch.tensor([math.log((1 - first) / first)], dtype=torch.float64))
        self.raw = nn.Parameter(torch.zeros(steps - 1, dtype=torch.float64))
        self.last = nn.Parameter(torch.tensor([last], dtype=torch.float64))

    def betas(self) -> Tensor:
        """β_1 … β_T, (T,)."""
        return -torch.expm1(-self._knots().diff())

    def _knots(self) -> Tensor:
        """−log ᾱ at i/T, i = 0 … T."""
        fallen = (self.top - self.last) * self.raw.softmax(0).cumsum(0)
        return torch.cat((torch.zeros_like(self.top), F.softplus(-torch.cat((self.top, self.top - fallen)))))

    def _erased(self, t: Scalar) -> Tensor:
        """−log ᾱ."""
        total = self._knots()
        place = (torch.as_tensor(t, dtype=torch.float64) * self.steps).clamp(0, self.steps)
        low = place.floor().clamp(max=self.steps - 1).long()
        return torch.lerp(total[low], total[low + 1], place - low)

    def alpha(self, t: Scalar) -> Tensor:
        return torch.exp(-0.5 * self._erased(t))

    def sigma(self, t: Scalar) -> Tensor:
        return torch.sqrt(-torch.expm1(-self._erased(t)))


class RadialBasis(Denoiser):
    """N(α x_t + σ m_t, (σ e^{l_t})²) with read-outs (m_t, l_t) of the hidden units for every step i/T."""

    process: Gaussian
    mean: Tensor

    def __init__(self, centres: Tensor, *, steps: int = STEPS, first: float = FIRST, width: float = 0.6) -> None:
        super().__init__()
        schedule = LearnedBetas(steps, first)
        self.schedule, self.process = schedule, Gaussian(schedule)
        self.centres = nn.Parameter(centres.clone())
        self.log_widths = nn.Parameter(torch.full_like(centres[:, 0], math.log(width)))
        features = 3 * len(centres) + 2
        self.register_buffer("mean", torch.zeros(steps, features, 2).to(centres))
        self.spread = nn.Parameter(torch.zeros(steps, features, 2).to(centres))

    def hidden(self, xt: Tensor, t: Scalar) -> Tensor:
        """φ_j, φ_j (y − c_j) and y, (B, 3·units + 2)."""
        y = xt / expand(self.schedule.alpha(t), xt)
        apart = y[:, None] - self.centres
        unit = (-0.5 * apart.square().sum(2) * torch.exp(-2 * self.log_widths)).softmax(1)
        return torch.cat((unit, (unit[..., None] * apart).flatten(1), y), 1)

    def read(self, hidden: Tensor, t: Scalar) -> tuple[Tensor, Tensor]:
        """m_t and l_t, (B, 2) each."""
        index = (batch(t, hidden) * self.schedule.steps).round().long().clamp(1, self.schedule.steps) - 1
        block, counts = index.unique_consecutive(return_counts=True)
        if (counts != counts[0]).any():  # rows in no order: each is a block of its own
            block = index
        rows = hidden.reshape(len(block), -1, hidden.shape[1])
        shift, log_std = (rows @ weight[block] for weight in (self.mean, self.spread))
        return shift.reshape(-1, 2), log_std.reshape(-1, 2).clamp(-7, 1.5)

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        alpha, sigma = (expand(v, xt) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        shift, log_std = self.read(self.hidden(xt, t), t)
        return Normal(alpha * xt + sigma * shift, sigma * torch.exp(log_std))

    @torch.no_grad()
    def equations(self, x0: Tensor, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The normal equations of m_2 … m_T, one set of n rows for each step in turn: (T − 1, 2, F, F), (T − 1, 2, F).

        Σ h hᵀ w m = Σ h w (x_0 − α x_t)/σ,   w = 1/Var p(x_s | x_t)
        """
        count = self.schedule.steps - 1
        alpha, sigma = (expand(v, xt) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        reverse = self.process.reverse(self(xt, t), xt, t - 1 / self.schedule.steps, t)
        weight = torch.as_tensor(sigma / reverse.std).square().reshape(count, -1, 2)
        hidden = self.hidden(xt, t).reshape(count, weight.shape[1], -1)
        target = ((x0 - alpha * xt) / sigma).reshape(count, -1, 2)
        left = torch.stack([(hidden * weight[..., k : k + 1]).mT @ hidden for k in (0, 1)], 1)
        return left, torch.einsum("bnf,bnd->bdf", hidden, weight * target)

    @torch.no_grad()
    def solve(self, left: Tensor, right: Tensor) -> None:
        """Set the read-outs of the mean to the solution of the equations."""
        scale = left.diagonal(dim1=-2, dim2=-1).sqrt() + 1e-30
        scaled = left / scale[..., None] / scale[..., None, :] + NEAR * torch.eye(left.shape[-1], dtype=left.dtype)
        self.mean[1:] = (torch.linalg.solve(scaled, (right / scale)[..., None])[..., 0] / scale).mT


def learn(denoiser: RadialBasis, *, updates: int, size: int, rate: float = 1e-2, last: int = 40) -> Iterator[float]:
    """Adam with a falling rate on the bound of `size` fresh points at each step; the mean's read-outs are solved.

    Yields the negative of the bound in nats, less its constant edge; at the end the read-outs are solved once more, on
    `last` batches together.
    """
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=rate, betas=(0.9, 0.99))
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for update in range(updates):
        x0, xt, t = _rows(denoiser, size, Rng(0).fork("learn", update))
        denoiser.solve(*denoiser.equations(x0, xt, t))
        terms = denoising_term(denoiser, x0, xt, t - 1 / denoiser.schedule.steps, t)
        end = denoiser.process.marginal(x0[:size], 1.0).kl(Normal(torch.zeros_like(x0[:size]), 1.0))
        value = terms.sum() / size + end.mean()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        fall.step()
        yield float(value.detach())
    parts = [denoiser.equations(*_rows(denoiser, size, Rng(0).fork("last", k))) for k in range(last)]
    denoiser.solve(*(torch.stack(side).sum(0) for side in zip(*parts, strict=True)))


def _rows(denoiser: RadialBasis, size: int, rng: Rng) -> tuple[Tensor, Tensor, Tensor]:
    """x_0, x_t and t for `size` fresh points at each of the steps 2 … T."""
    steps = denoiser.schedule.steps
    t = (torch.arange(2, steps + 1, dtype=torch.float64) / steps).repeat_interleave(size)
    x0 = points(len(t), rng.fork("data"))
    return x0, denoiser.process.marginal(x0, t).sample(rng.fork("eps")), t


def points(count: int, rng: Rng) -> Tensor:
    """(count, 2) float64, each coordinate of mean 0 and variance 1."""
    return (_curve(rng.uniform(count)) - _MEAN) / _STD


def along(count: int) -> Tensor:
    """`count` places on the roll at equal distances along it, (count, 2): where the hidden units begin."""
    ends = ((_GRID - _MEAN) / _STD).diff(dim=0).norm(dim=1).cumsum(0)
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / count * ends[-1]
    return (_GRID[torch.searchsorted(ends, places)] - _MEAN) / _STD


def ceiling(first: float = FIRST) -> float:
    """The highest K there is, in bits: −h(x_1) of x_1 = the roll and noise of √β_1 about it.

        −h(x_1) = −E log₂ |dx_0/du| − ½ log₂(2πe β_1)        (at that scale the roll is straight)
    The edge adds nothing: p(x_0 | x_1) gives back what q(x_1 | x_0) costs. A noiseless roll has no density, so that
    without β_1 > 0 there would be no limit at all.
    """
    speed = ((_GRID - _MEAN) / _STD).diff(dim=0).norm(dim=1) * len(_GRID)
    return float(-speed.log2().mean()) - 0.5 * math.log2(2 * math.pi * math.e * first)


def _curve(u: Tensor) -> Tensor:
    turn = 1.5 * math.pi * (1 + 2 * u)
    return torch.stack((turn * turn.cos(), turn * turn.sin()), 1)


_GRID = _curve((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
_MEAN, _STD = _GRID.mean(0), _GRID.std(0)
