"""The oracles against brute force: Bayes' rule on a grid of x_0, sums over points, and automatic differentiation."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import Condition, EmpiricalData, GaussianData, Mixture, noise, score
from reverie.processes import Edm, Flow, Gaussian, LinearBeta, SubVp, VpLinear

SCHEDULES = [VpLinear(), LinearBeta(), SubVp(), Flow(), Edm(2.0)]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
TIMES = [0.02, 0.3, 0.9]

GRID = torch.linspace(-12, 12, 24001, dtype=torch.float64)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
MEANS = torch.tensor([[-2.0], [0.5], [3.0]], dtype=torch.float64)
STDS = torch.tensor([0.3, 0.6, 0.2], dtype=torch.float64)


def mixture(schedule):
    return Mixture(Gaussian(schedule), WEIGHTS, MEANS, STDS)


def density(x):
    """p(x_0) of the mixture on the line."""
    terms = WEIGHTS * torch.exp(-0.5 * ((x[:, None] - MEANS[:, 0]) / STDS) ** 2) / (STDS * math.sqrt(2 * math.pi))
    return terms.sum(1)


def by_quadrature(schedule, p0, xt, t):
    """Mean and std of p(x0|xt) ∝ p(x0) N(xt; α x0, σ²), and p(xt), by the trapezoidal rule."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    joint = p0 * torch.exp(-0.5 * ((xt - alpha * GRID) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    evidence = torch.trapezoid(joint, GRID)
    mean = torch.trapezoid(joint * GRID, GRID) / evidence
    std = (torch.trapezoid(joint * (GRID - mean) ** 2, GRID) / evidence).sqrt()
    return float(mean), float(std), float(evidence)


@every_schedule
@pytest.mark.parametrize("t", TIMES)
def test_the_mixture_oracle_is_bayes_rule(schedule, t):
    for value in (-1.7, 0.1, 1.4):
        xt = torch.tensor([[value]], dtype=torch.float64)
        mean, std, evidence = by_quadrature(schedule, density(GRID), value, t)
        posterior = mixture(schedule)(xt, t)
        assert float(posterior.mean) == pytest.approx(mean, rel=1e-7, abs=1e-7)
        assert float(posterior.std) == pytest.approx(std, rel=1e-6)
        assert float(mixture(schedule).law(t).log_prob(xt)) == pytest.approx(math.log(evidence), rel=1e-7, abs=1e-7)


@every_schedule
@pytest.mark.parametrize("t", TIMES)
def test_the_gaussian_oracle_is_bayes_rule(schedule, t):
    m, s = 0.7, 0.4
    oracle = GaussianData(Gaussian(schedule), torch.tensor([m]).double(), torch.tensor([s]).double())
    p0 = torch.exp(-0.5 * ((GRID - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
    for value in (-0.8, 0.6):
        xt = torch.tensor([[value]], dtype=torch.float64)
        mean, std, evidence = by_quadrature(schedule, p0, value, t)
        assert float(oracle(xt, t).mean) == pytest.approx(mean, rel=1e-6)
        assert float(oracle(xt, t).std) == pytest.approx(std, rel=1e-6)
        assert float(oracle.law(t).log_prob(xt)) == pytest.approx(math.log(evidence), rel=1e-6, abs=1e-6)


@every_schedule
def test_tweedies_formula_gives_the_gradient_of_the_log_density(schedule):
    oracle = mixture(schedule)
    for t in TIMES:
        xt = (3 * Rng(0).normal(torch.zeros(7, 1, dtype=torch.float64))).requires_grad_()
        gradient = torch.autograd.grad(oracle.law(t).log_prob(xt).sum(), xt)[0]
        torch.testing.assert_close(score(oracle, xt, t), gradient, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(noise(oracle, xt, t), -schedule.sigma(t) * gradient, rtol=1e-8, atol=1e-8)


@every_schedule
def test_one_time_for_all_and_a_time_each_agree(schedule):
    xt = Rng(1).normal(torch.zeros(5, 1, dtype=torch.float64))
    points = Rng(2).normal(torch.zeros(9, 1, dtype=torch.float64))
    gaussian = GaussianData(Gaussian(schedule), MEANS[0], STDS[:1])
    for oracle in (mixture(schedule), gaussian, EmpiricalData(Gaussian(schedule), points)):
        one, each = oracle(xt, 0.4), oracle(xt, torch.full((5,), 0.4, dtype=torch.float64))
        torch.testing.assert_close(one.mean, each.mean)
        torch.testing.assert_close(torch.as_tensor(one.std), torch.as_tensor(each.std))


@every_schedule
def test_the_oracle_of_a_data_set_weighs_every_point(schedule):
    points, t = Rng(3).normal(torch.zeros(20, 2, 3, dtype=torch.float64)), 0.35
    xt = Rng(4).normal(torch.zeros(4, 2, 3, dtype=torch.float64))
    posterior = EmpiricalData(Gaussian(schedule), points)(xt, t)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    for row in range(4):
        w = torch.tensor(
            [math.exp(-0.5 * float(((xt[row] - alpha * p) ** 2).sum()) / sigma**2) for p in points]
        ).double()
        w = w / w.sum()
        mean = sum(float(w[n]) * points[n] for n in range(20))
        torch.testing.assert_close(posterior.mean[row], mean, rtol=1e-6, atol=1e-8)
        variance = sum(float(w[n]) * (points[n] - mean) ** 2 for n in range(20))
        torch.testing.assert_close(posterior.std[row] ** 2, variance, rtol=1e-6, atol=1e-8)


def test_a_mixture_of_narrow_components_is_the_oracle_of_its_points():
    points = Rng(5).normal(torch.zeros(12, 2, dtype=torch.float64))
    process = Gaussian(VpLinear())
    narrow = Mixture(process, torch.ones(12).double(), points, torch.full((12,), 1e-6).double())
    xt = Rng(6).normal(torch.zeros(5, 2, dtype=torch.float64))
    torch.testing.assert_close(narrow(xt, 0.3).mean, EmpiricalData(process, points)(xt, 0.3).mean, rtol=1e-6, atol=1e-8)


def test_a_label_leaves_one_component_of_the_mixture():
    process, xt = Gaussian(VpLinear()), Rng(7).normal(torch.zeros(6, 1, dtype=torch.float64))
    oracle = Mixture(process, WEIGHTS, MEANS, STDS)
    for k in range(3):
        alone = GaussianData(process, MEANS[k], STDS[k : k + 1])
        bound = oracle.given(Condition(torch.tensor([k])))
        torch.testing.assert_close(bound(xt, 0.5).mean, alone(xt, 0.5).mean)
        torch.testing.assert_close(bound.law(0.5).log_prob(xt[:1]), alone.law(0.5).log_prob(xt[:1]))
    mixed = oracle.given(Condition(torch.tensor([0, 1, 2, 0, 1, 2])))(xt, 0.5).mean
    torch.testing.assert_close(mixed[1], GaussianData(process, MEANS[1], STDS[1:2])(xt, 0.5).mean[1])


def test_a_label_leaves_the_points_of_its_class():
    points, labels = Rng(8).normal(torch.zeros(10, 2, dtype=torch.float64)), torch.arange(10) % 2
    process, xt = Gaussian(Flow()), Rng(9).normal(torch.zeros(4, 2, dtype=torch.float64))
    bound = EmpiricalData(process, points, labels).given(Condition(torch.tensor([1])))
    torch.testing.assert_close(bound(xt, 0.5).mean, EmpiricalData(process, points[1::2])(xt, 0.5).mean)


def test_an_oracle_without_conditions_refuses_one():
    oracle = GaussianData(Gaussian(Flow()), MEANS[0], STDS[:1])
    with pytest.raises(ValueError, match="GaussianData is unconditional"):
        oracle.given(Condition(torch.tensor([0])))


def test_the_comparison_would_see_a_posterior_of_the_wrong_noise():
    """A mutant that forgets α in the exponent differs from the quadrature by far more than its tolerance."""
    schedule, t, value = VpLinear(), 0.3, 0.1
    mean, _, _ = by_quadrature(schedule, density(GRID), value, t)
    wrong, _, _ = by_quadrature(VpLinear(beta_max=19.0), density(GRID), value, t)
    assert abs(wrong - mean) > 1e-4


def test_a_condition_keeps_the_rows_that_are_asked_for():
    condition = Condition(torch.tensor([3, 1, 2]), torch.tensor([[0.5]]))
    rows = condition.rows(torch.tensor([2, 0]))
    assert rows.label.tolist() == [2, 3]
    assert rows.numbers.tolist() == [[0.5]]
