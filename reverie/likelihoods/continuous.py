"""The bound in continuous time: an integral over λ = log SNR that no schedule changes between its two ends.

    cost = KL(q(x_1 | x_0) ‖ p(x_1)) + ∫_{λ(1)}^{λ_0} ½ e^λ E‖x_0 − x̂_0(x_λ)‖² dλ − log p(x_0 | x at λ_0)
λ is drawn stratified; any monotone map from uniform numbers to λ gives the same mean, and the one whose density is
proportional to the root mean square of the integrand gives the least variance: the best noise schedule of VDM, found
here in closed form instead of by gradient.
Reference: Kingma et al. 2021, arXiv:2107.00630, equations 15–18, appendix H.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, gaussian
from reverie.denoisers.decoder import Decoder, Posterior
from reverie.denoisers.terms import density_term, prior_term
from reverie.likelihoods.base import Bound, Curve, Likelihood, mean_and_error
from reverie.likelihoods.elbo import neighbour_error

LOWEST = -20.0  # below it the integral is less than D e⁻²⁰


@dataclass(frozen=True)
class Vlb(Likelihood):
    """The continuous-time bound by `terms` draws of λ, one in each stratum of equal probability.

    `first` is λ_0, where the decoder reads x_0. `knots` are values of λ, falling, at equally spaced quantiles of its
    proposal (piecewise linear between them; see `learn_knots`); () is uniform in λ.
    """

    terms: int = 64
    draws: int = 2
    first: float = 13.3
    knots: tuple[float, ...] = ()
    decoder: Decoder = field(default_factory=Posterior)

    def __post_init__(self) -> None:
        if self.terms < 2 or self.draws < 1:
            raise ValueError(f"needs terms >= 2 and draws >= 1, not {self.terms} and {self.draws}")
        if any(a <= b for a, b in zip(self.knots, self.knots[1:], strict=False)) or len(self.knots) == 1:
            raise ValueError("knots must be at least two values of log SNR, falling")

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Bound:
        start = gaussian(denoiser).schedule.time_of(self.first)
        costs = []
        for k in range(self.draws):
            x1 = denoiser.process.marginal(x0, start).sample(rng.fork("reconstruction", k))
            costs.append(
                -self.decoder(denoiser(x1, start), denoiser.process, start).log_prob(x0).to("cpu", torch.float64)
            )
        reconstruction, error = mean_and_error(torch.stack(costs))
        curve = self.integral(denoiser, x0, rng=rng.fork("diffusion"))
        terms = {"prior": prior_term(denoiser, x0), "diffusion": curve.nats.sum(1), "reconstruction": reconstruction}
        errors = {"diffusion": neighbour_error(curve.nats), "reconstruction": error}
        return Bound(terms, x0[0].numel(), errors, curve=curve)

    def integral(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Curve:
        """The draws of the integral, weighted so that their sum estimates it."""
        schedule = gaussian(denoiser).schedule
        times, costs = [], []
        for k in range(self.terms):
            u = (k + rng.fork("stratum", k).uniform(len(x0))) / self.terms
            log_snr, width = self.place(u, float(schedule.log_snr(1.0)))
            t = torch.as_tensor(schedule.time_of(log_snr))
            xt = denoiser.process.marginal(x0, t).sample(rng.fork("eps", k))
            cost = density_term(denoiser, x0, xt, t).to("cpu", torch.float64)
            costs.append(cost * width / self.terms)
            times.append(t)
        return Curve(torch.stack(times, 1), torch.stack(costs, 1))

    def place(self, u: Tensor, last: float) -> tuple[Tensor, Tensor]:
        """λ at quantile u of the proposal, held between λ_0 and λ(1), and −dλ/du, the inverse of its density."""
        low = max(last, LOWEST)
        if low >= self.first:
            raise ValueError(f"the schedule ends at log SNR {last:g}, above the first {self.first:g}")
        inner = [k for k in self.knots if low < k < self.first]
        knots = torch.tensor([self.first, *inner, low], dtype=torch.float64)
        place = u * (len(knots) - 1)
        index = place.floor().clamp(0, len(knots) - 2).long()
        fall = knots[index] - knots[index + 1]
        return knots[index] - (place - index) * fall, fall * (len(knots) - 1)


@torch.no_grad()
def learn_knots(
    denoiser: Denoiser, x0: Tensor, *, rng: Rng, first: float = 13.3, count: int = 32, levels: int = 128
) -> tuple[float, ...]:
    """`count` + 1 knots of the proposal of least variance for these data: density ∝ √E[integrand²].

    Measured at `levels` values of λ on all of x0; held at a hundredth of its largest or above, so that no λ starves.
    """
    schedule = gaussian(denoiser).schedule
    low = max(float(schedule.log_snr(1.0)), LOWEST)
    grid = torch.linspace(first, low, levels, dtype=torch.float64)
    size = []
    for k, t in enumerate(torch.as_tensor(schedule.time_of(grid))):
        times = t.expand(len(x0))
        xt = denoiser.process.marginal(x0, times).sample(rng.fork("knots", k))
        size.append(density_term(denoiser, x0, xt, times).to("cpu", torch.float64).square().mean().sqrt())
    density = torch.stack(size)
    density = torch.maximum(density, density.max() / 100)
    mass = torch.cat((torch.zeros(1, dtype=torch.float64), ((density[1:] + density[:-1]) / 2).cumsum(0)))
    return tuple(_interpolate(torch.linspace(0, float(mass[-1]), count + 1, dtype=torch.float64), mass, grid).tolist())


def _interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The piecewise linear function through (x, y), x rising."""
    index = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    share = (at - x[index - 1]) / (x[index] - x[index - 1])
    return y[index - 1] + share.clamp(0, 1) * (y[index] - y[index - 1])
