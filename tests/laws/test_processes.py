"""The laws of processes: the five distributions belong to one Markov process, for every entry × every schedule.

Pointwise in x, so that no sample is needed: q(x_s|x_0,x_t) q(x_t|x_0) = q(x_t|x_s) q(x_s|x_0) (Bayes), and for the
Gaussian process ∫ q(x_t|x_s) q(x_s|x_r) dx_s = q(x_t|x_r) in its two moments (Chapman–Kolmogorov). Samples are then
held against the moments that the distributions state.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from reverie.core import catalog
from reverie.core.distributions import Normal, normal
from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import GaussianData
from reverie.processes import Flow, Gaussian, LinearBeta, VpLinear

ROWS = 50_000


def schedules():
    for name in catalog.names("processes", "Schedule"):
        inner = {o.name: "linear-beta" for o in catalog.options("processes", name) if o.annotation == "Schedule"}
        yield name, catalog.build("processes", {"name": name, **inner})


# Processes over a schedule get all of them. One with its own state space adds itself and its data here.
GAUSSIAN = [pytest.param(Gaussian(schedule), id=f"gaussian-{name}") for name, schedule in schedules()]
every_process = pytest.mark.parametrize("process", GAUSSIAN)
PRESERVING = [VpLinear(), LinearBeta()]

# r < s < t, each (B,)
R, S, T = torch.tensor(
    [[0.0, 0.0, 0.1, 0.5, 0.9], [0.001, 0.3, 0.4, 0.501, 0.95], [0.002, 0.9, 0.45, 0.7, 0.999]], dtype=torch.float64
)


def points(seed, *shape):
    return 1.5 * Rng(seed).normal(torch.zeros(*shape, dtype=torch.float64))


def bayes_gap(process):
    """The largest |log q(xs|x0,xt) + log q(xt|x0) − log q(xt|xs) − log q(xs|x0)|, relative to the terms' size."""
    s, t = S.clamp(min=1e-3), T
    x0, noise, other = points(0, 5, 3), points(1, 5, 3), points(2, 5, 3)
    xs = process.marginal(x0, s).mean + expand(process.schedule.sigma(s), x0) * noise
    xt = process.marginal(x0, t).mean + expand(process.schedule.sigma(t), x0) * other
    # near the support of both sides, or the terms themselves overflow the comparison
    xs = process.bridge(x0, xt, s, t).mean + expand(process.bridge_coefficients(s, t)[2], x0) * noise
    left = process.bridge(x0, xt, s, t).log_prob(xs) + process.marginal(x0, t).log_prob(xt)
    right = process.transition(xs, s, t).log_prob(xt) + process.marginal(x0, s).log_prob(xs)
    return float(((left - right) / (1 + left.abs())).abs().max())


def composition_gap(process):
    """How far two transitions in a row are from one, in mean and standard deviation, relative."""
    xr = points(3, 5, 3)
    direct = process.transition(xr, R, T)
    first = process.transition(xr, R, S)
    second = process.transition(first.mean, S, T)
    slope = process.transition(torch.ones_like(xr), S, T).mean
    std = (second.std**2 + (slope[:, :1] * first.std) ** 2) ** 0.5
    return max(
        float(((second.mean - direct.mean) / (1e-12 + direct.mean.abs())).abs().max()),
        float((std / direct.std - 1).abs().max()),
    )


@every_process
def test_bayes_rule_joins_bridge_marginal_and_transition(process):
    assert bayes_gap(process) < 1e-8


@every_process
def test_transitions_compose(process):
    assert composition_gap(process) < 1e-9


@every_process
def test_a_marginal_is_the_transition_from_the_data(process):
    x0 = points(4, 5, 3)
    start = torch.zeros(5, dtype=torch.float64)
    from_data, marginal = process.transition(x0, start, T), process.marginal(x0, T)
    torch.testing.assert_close(from_data.mean, marginal.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(from_data.std, marginal.std, rtol=1e-12, atol=0)


@every_process
def test_the_bridge_ends_at_its_data(process):
    x0, xt = points(5, 5, 3), points(6, 5, 3)
    bridge = process.bridge(x0, xt, torch.zeros(5, dtype=torch.float64), T)
    torch.testing.assert_close(bridge.mean, x0, rtol=1e-12, atol=1e-12)
    assert bridge.std.max() == 0


@every_process
def test_a_certain_posterior_makes_the_reverse_the_bridge(process):
    x0, xt = points(7, 5, 3), points(8, 5, 3)
    bridge = process.bridge(x0, xt, S, T)
    for believed in (Normal(x0), Normal(x0, torch.zeros_like(x0))):
        reverse = process.reverse(believed, xt, S, T)
        torch.testing.assert_close(reverse.mean, bridge.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(reverse.std.expand_as(x0), bridge.std.expand_as(x0), rtol=1e-12, atol=0)


def reverse_gap(process):
    """With an exact Gaussian posterior: |log p(xs|xt) − log q(xt|xs) − log p(xs) + log p(xt)|, relative."""
    oracle = GaussianData(process, torch.full((3,), 0.7, dtype=torch.float64), torch.tensor([0.3, 1.0, 2.0]).double())
    s, t = S.clamp(min=1e-3), T

    def law(time):
        alpha, sigma = (
            expand(v(time), torch.zeros(5, 3)).double() for v in (process.schedule.alpha, process.schedule.sigma)
        )
        return Normal(alpha * oracle.mean, (alpha**2 * oracle.std**2 + sigma**2) ** 0.5)

    xt = law(t).mean + law(t).std * points(9, 5, 3)
    reverse = process.reverse(oracle(xt, t), xt, s, t)
    xs = reverse.mean + reverse.std * points(10, 5, 3)
    right = process.transition(xs, s, t).log_prob(xt) + law(s).log_prob(xs) - law(t).log_prob(xt)
    left = reverse.log_prob(xs)
    return float(((left - right) / (1 + left.abs())).abs().max())


@every_process
def test_an_exact_posterior_makes_the_reverse_exact(process):
    assert reverse_gap(process) < 1e-6


@every_process
def test_samples_have_the_moments_that_are_stated(process):
    x0 = torch.full((ROWS, 1), 0.8, dtype=torch.float64)
    xt = torch.full((ROWS, 1), -0.4, dtype=torch.float64)
    for i, law in enumerate(
        (process.marginal(x0, 0.6), process.transition(x0, 0.3, 0.6), process.bridge(x0, xt, 0.3, 0.6))
    ):
        x = law.sample(Rng(20 + i))
        std = float(law.std)
        assert abs(float(x.mean() - law.mean[0])) < 5 * std / math.sqrt(ROWS)
        assert abs(float(x.std()) / std - 1) < 5 / math.sqrt(2 * ROWS)


@every_process
def test_the_prior_is_the_law_of_pure_noise_for_standardised_data(process):
    prior = process.prior((ROWS, 2))
    x1 = process.marginal(Rng(30).normal(torch.zeros(ROWS, 2, dtype=torch.float64)), 1.0).sample(Rng(31))
    assert prior.mean.abs().max() == 0
    assert abs(float(x1.std()) / prior.std - 1) < 5 / math.sqrt(4 * ROWS)


@pytest.mark.parametrize("schedule", PRESERVING, ids=repr)
@pytest.mark.parametrize(("s", "t"), [(0.2, 0.21), (0.3, 0.5), (0.5, 0.9)])
def test_the_optimal_reverse_variance_is_beta_for_normal_data_and_beta_tilde_for_a_point(schedule, s, t):
    """Measured: the residual variance of x_s after the best line in x_t, in 50,000 simulated steps."""
    process = Gaussian(schedule)
    beta, beta_tilde = schedule.ratio(s, t)[1] ** 2, process.bridge_coefficients(s, t)[2] ** 2
    se = math.sqrt(2 / ROWS)
    for data_std, optimal in ((1.0, beta), (0.0, beta_tilde)):
        x0 = data_std * Rng(40).normal(torch.zeros(ROWS, 1, dtype=torch.float64)) + 0.5
        xs = process.marginal(x0, s).sample(Rng(41))
        xt = process.transition(xs, s, t).sample(Rng(42))
        covariance = torch.cov(torch.cat((xs, xt), 1).T)
        residual = float(covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1])
        assert residual == pytest.approx(optimal, rel=5 * se)


@pytest.mark.parametrize("schedule", PRESERVING, ids=repr)
def test_the_spread_of_the_posterior_sets_the_reverse_variance(schedule):
    process, s, t = Gaussian(schedule), 0.4, 0.6
    xt = points(11, 2, 3)
    beta, beta_tilde = schedule.ratio(s, t)[1] ** 2, process.bridge_coefficients(s, t)[2] ** 2
    for v, expected in ((0.0, beta_tilde), (0.5, math.sqrt(beta * beta_tilde)), (1.0, beta)):
        reverse = process.reverse(normal(xt, process.posterior_std(v, s, t)), xt, s, t)
        assert float(reverse.std.max() if isinstance(reverse.std, torch.Tensor) else reverse.std) ** 2 == pytest.approx(
            expected, rel=1e-12
        )
    # for N(0, I) data the posterior's own spread is σ_t, which gives β
    assert process.posterior_std(1.0, s, t) == pytest.approx(schedule.sigma(t), rel=1e-9)


def test_the_papers_formulas_come_out_on_the_ddpm_table():
    """μ̃ and β̃ of Ho et al. 2020, equations 6 and 7, written with the table."""
    betas = LinearBeta().betas()
    bar = torch.cumprod(1 - betas, 0)
    process = Gaussian(LinearBeta())
    for i in (2, 10, 500, 1000):
        beta, now, before = (float(v) for v in (betas[i - 1], bar[i - 1], bar[i - 2]))
        c0, ct, std = process.bridge_coefficients((i - 1) / 1000, i / 1000)
        assert c0 == pytest.approx(math.sqrt(before) * beta / (1 - now), rel=1e-9)
        assert ct == pytest.approx(math.sqrt(1 - beta) * (1 - before) / (1 - now), rel=1e-9)
        assert std**2 == pytest.approx((1 - before) / (1 - now) * beta, rel=1e-9)


@dataclass(frozen=True)
class LargeBridge(Gaussian):
    """A mutant whose bridge has β where β̃ belongs."""

    def bridge(self, x0, xt, s, t):
        law = super().bridge(x0, xt, s, t)
        return Normal(law.mean, expand(self.schedule.ratio(s, t)[1], x0))


@dataclass(frozen=True)
class Forgetful(Gaussian):
    """A mutant whose transition adds the whole noise of t at every step."""

    def transition(self, xs, s, t):
        law = super().transition(xs, s, t)
        return Normal(law.mean, expand(self.schedule.sigma(t), xs))


@dataclass(frozen=True)
class Certain(Gaussian):
    """A mutant that forgets the posterior's spread."""

    def reverse(self, posterior, xt, s, t):
        return self.bridge(posterior.mean, xt, s, t)


@pytest.mark.parametrize("schedule", [*PRESERVING, Flow()], ids=repr)
def test_the_laws_reject_a_process_that_is_wrong(schedule):
    assert bayes_gap(LargeBridge(schedule)) > 1e-2
    assert bayes_gap(Forgetful(schedule)) > 1e-2
    assert composition_gap(Forgetful(schedule)) > 1e-2
    assert reverse_gap(Certain(schedule)) > 1e-2


def test_every_process_of_the_catalogue_is_held_by_laws():
    """The Gaussian one by these; one with its own state space by a file beside this one that names it."""
    written = " ".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    classes = [catalog.find("processes", name).__name__ for name in catalog.names("processes", "Process")]
    assert [name for name in classes if not re.search(rf"\b{name}\b", written)] == []
