"""The bound as an objective: the likelihoods' number; drawing times by history changes its variance alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.denoisers import Denoiser, Eps, GaussianData, NetworkDenoiser
from reverie.denoisers.decoder import Continuous, Discretised
from reverie.denoisers.terms import density_term
from reverie.likelihoods import Elbo, Vlb, learn_knots
from reverie.losses import ContinuousBound, FullBound, Hybrid, Regression
from reverie.losses.times import Discrete
from reverie.processes import Gaussian, LinearBeta, VpCosine, VpLinear

STEPS = 40


def oracle(schedule: object = None) -> GaussianData:
    mean = torch.tensor([-0.3, 0.4], dtype=torch.float64)
    return GaussianData(
        Gaussian(schedule or LinearBeta(STEPS, 0.001, 0.3)), mean, torch.tensor([0.2, 0.5], dtype=torch.float64)
    )


def levels(count: int, bins: int = 17) -> Tensor:
    x = torch.tensor([-0.3, 0.4]) + torch.tensor([0.2, 0.5]) * Rng(1).normal(torch.empty(count, 2, dtype=torch.float64))
    half = (bins - 1) / 2
    return ((x + 1) * half).round().clamp(0, bins - 1) / half - 1


class Stated(Denoiser):
    """Mean and std as two parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.process = Gaussian(LinearBeta(STEPS, 0.001, 0.3))
        self.mean = nn.Parameter(torch.tensor([0.1, 0.2], dtype=torch.float64))
        self.std = nn.Parameter(torch.tensor([0.3, 0.4], dtype=torch.float64))

    def forward(self, xt: Tensor, t: object) -> Normal:
        return Normal(self.mean.expand_as(xt), self.std.expand_as(xt))


@pytest.mark.parametrize("bins", [0, 17])
def test_the_mean_over_all_times_is_the_bound(bins: int) -> None:
    denoiser, x0 = oracle(), levels(600)
    loss = FullBound(steps=STEPS, bins=bins)
    every = [
        loss.at(denoiser, x0, torch.full((len(x0),), i / STEPS, dtype=torch.float64), rng=Rng(2).fork(i))
        for i in range(1, STEPS + 1)
    ]
    elbo = Elbo(steps=STEPS, decoder=Discretised(bins) if bins else Continuous())(denoiser, x0, rng=Rng(3))
    expected = bits_per_dim(elbo.total - elbo.terms["prior"], 2)
    difference = torch.stack(every).mean(0) - expected
    assert abs(difference.mean()) < 4 * difference.std() / len(x0) ** 0.5


def test_times_by_history_leave_the_mean_and_lower_the_variance() -> None:
    denoiser, x0 = oracle(), levels(20_000)
    loss = FullBound(steps=STEPS, bins=17, buckets=20, memory=10)
    with torch.no_grad():
        uniform = loss(denoiser, x0, rng=Rng(5))
    assert (loss.history.seen == 0).all()  # evaluation leaves no trace
    loss(denoiser, x0[:2000], rng=Rng(4))
    assert (loss.history.seen >= 10).all()
    with torch.no_grad():
        chosen = loss(denoiser, x0, rng=Rng(6))
    error = ((uniform.var() + chosen.var()) / len(x0)).sqrt()
    assert abs(uniform.mean() - chosen.mean()) < 4 * error
    assert chosen.var() < 0.5 * uniform.var()


def test_a_mutant_without_the_weights_is_rejected() -> None:
    denoiser, x0 = oracle(), levels(20_000)
    loss = FullBound(steps=STEPS, bins=17, buckets=20)
    with torch.no_grad():
        uniform = loss(denoiser, x0, rng=Rng(5))
    loss(denoiser, x0[:2000], rng=Rng(4))
    v, _ = loss.history.place(loss.times.shares(Rng(6), len(x0)))
    mutant = loss.at(denoiser, x0, loss.times.quantile(v, denoiser.process), rng=Rng(6))
    assert abs(mutant.mean() - uniform.mean()) > 8 * ((uniform.var() + mutant.var()) / len(x0)).sqrt()


def test_the_law_of_times_is_a_law_and_survives_saving() -> None:
    loss = FullBound(steps=50, bins=17, buckets=7, memory=2)
    loss(oracle(), levels(200), rng=Rng(0))
    law = loss.history.law()
    assert law.sum().item() == pytest.approx(1)
    assert law.max() > 2 * law.min()
    other = FullBound(steps=50, bins=17, buckets=7, memory=2)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(oracle(), levels(30), rng=Rng(1)), loss(oracle(), levels(30), rng=Rng(1)))


def test_the_hybrid_teaches_the_mean_by_the_squared_error_alone() -> None:
    denoiser, x0 = Stated(), levels(64)
    times = Discrete(steps=STEPS)
    hybrid = Hybrid(times=times, steps=STEPS, bins=17, scale=0.5)
    gradients = torch.autograd.grad(hybrid(denoiser, x0, rng=Rng(0)).mean(), [denoiser.mean, denoiser.std])
    (simple,) = torch.autograd.grad(Regression(times=times)(denoiser, x0, rng=Rng(0)).mean(), [denoiser.mean])
    (bound,) = torch.autograd.grad(FullBound(steps=STEPS, bins=17)(denoiser, x0, rng=Rng(0)).mean(), [denoiser.std])
    assert torch.allclose(gradients[0], simple)
    assert torch.allclose(gradients[1], 0.5 * bound)


def test_the_continuous_bound_is_the_likelihoods_own_integral() -> None:
    denoiser, x0 = oracle(VpLinear()), levels(4000)
    loss = ContinuousBound(first=10.0)
    found = loss(denoiser, x0, rng=Rng(0))
    integral = bits_per_dim(Vlb(terms=8, first=10.0).integral(denoiser, x0, rng=Rng(1)).nats.sum(1), 2)
    error = ((found.var() + integral.var()) / len(x0)).sqrt()
    assert abs(found.mean() - integral.mean()) < 4 * error


def test_the_continuous_bound_is_the_same_on_every_schedule() -> None:
    x0 = levels(4000)
    one, other = (ContinuousBound(first=9.0, last=-9.0)(oracle(s), x0, rng=Rng(0)) for s in (VpCosine(), VpLinear()))
    assert torch.allclose(one, other, rtol=1e-6)


class Constant(nn.Module):
    """A network that says eps = 0 and the same raw variance everywhere."""

    def __init__(self, raw: float) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return torch.cat((torch.zeros_like(x), torch.full_like(x, self.raw)), 1)


@pytest.mark.parametrize("raw", [-30.0, -1.0, 0.0, 2.0, 30.0])
def test_a_learned_variance_lies_between_the_two_in_log_space(raw: float) -> None:
    """β^v β̃^(1−v) with v the sigmoid of the network's second output, at every step of T."""
    process = Gaussian(LinearBeta(100))
    denoiser = NetworkDenoiser(process, Constant(raw), Eps(), learned_std=True, steps=100)
    xt = torch.zeros(1, 2, dtype=torch.float64)
    v = 1 / (1 + math.exp(-raw))
    for i in (2, 3, 50, 100):
        t, s = i / 100, (i - 1) / 100
        _, _, beta_tilde_std = process.bridge_coefficients(s, t)
        beta = process.schedule.ratio(s, t)[1] ** 2
        found = process.reverse(denoiser(xt, t), xt, s, t).std
        assert torch.allclose(found**2, torch.tensor(beta**v * (beta_tilde_std**2) ** (1 - v), dtype=torch.float64))


@pytest.mark.parametrize("t", [1e-9, 1e-5, 1e-3, 0.0105])
def test_a_learned_variance_is_stated_at_times_within_the_first_step(t: float) -> None:
    """Where samplers and the ODE go: a number and a batch give the same, between a point's std 0 and σ/α."""
    denoiser = NetworkDenoiser(Gaussian(LinearBeta(100)), Constant(0.0), Eps(), learned_std=True, steps=100)
    xt = torch.zeros(2, 2, dtype=torch.float64)
    one, batch = denoiser(xt, t).std, denoiser(xt, torch.full((2,), t, dtype=torch.float64)).std
    assert torch.allclose(one, batch)
    schedule = denoiser.process.schedule
    assert (one > 0).all()
    assert (one <= schedule.sigma(t) / schedule.alpha(t)).all()


@pytest.mark.parametrize(
    "refused",
    [
        lambda: FullBound(bins=1),
        lambda: FullBound(steps=0),
        lambda: Hybrid(scale=-1),
        lambda: ContinuousBound(first=-20),
    ],
)
def test_impossible_options_are_refused(refused: object) -> None:
    with pytest.raises(ValueError, match=r"needs|must"):
        refused()


def test_every_step_keeps_its_share_however_skewed_the_law_of_times() -> None:
    """E[1{i = k}/(T p_i)] = 1/T for every k, also where p_k is far below 1/T, or parts and steps do not align."""
    for buckets in (40, 7):
        loss = FullBound(steps=40, bins=0, buckets=buckets, memory=1)
        loss.history.losses[:, 0] = torch.logspace(0, -3, buckets, dtype=torch.float64)
        loss.history.seen[:] = 1
        rows = 400_000
        v, weight = loss.history.place(loss.times.shares(Rng(0), rows))
        index = (loss.times.quantile(v, oracle().process) * 40).round().long()
        share = torch.zeros(40, dtype=torch.float64).index_add_(0, index - 1, weight) / rows
        assert torch.allclose(share, torch.full_like(share, 1 / 40), rtol=0.05, atol=0)


def test_a_schedule_learned_from_losses_leaves_the_continuous_bound_and_lowers_its_variance() -> None:
    """VDM's statement, and about as low as with the schedule that `learn_knots` measures directly."""
    denoiser, x0 = oracle(VpLinear()), levels(20_000)
    loss = ContinuousBound(buckets=30, memory=100)
    with torch.no_grad():
        uniform = loss(denoiser, x0, rng=Rng(5))
    for k in range(3):
        loss(denoiser, x0, rng=Rng(4).fork(k))
    with torch.no_grad():
        learned = loss(denoiser, x0, rng=Rng(6))
    error = ((uniform.var() + learned.var()) / len(x0)).sqrt()
    assert abs(uniform.mean() - learned.mean()) < 4 * error
    assert learned.var() < 0.5 * uniform.var()
    measured = Vlb(knots=learn_knots(denoiser, x0[:2000], rng=Rng(7)))
    schedule = denoiser.process.schedule
    log_snr, width = measured.place(Rng(8).uniform(len(x0)), schedule.log_snr(1.0))
    t = torch.as_tensor(schedule.time_of(log_snr))
    xt = denoiser.process.marginal(x0, t).sample(Rng(9))
    best = bits_per_dim(density_term(denoiser, x0, xt, t) * width, 2)
    assert learned.var() < 1.2 * best.var()
