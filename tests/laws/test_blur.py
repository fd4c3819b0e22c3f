"""The laws of the blurring process, in float64, against dense matrices and against the Gaussian process."""

import math
from dataclasses import dataclass

import pytest
import torch

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.spectral import Spectral, basis, eigenvalues, to_frequencies, to_values
from reverie.denoisers import GaussianData
from reverie.processes import Blur, Cosine, Flow, Gaussian, LinearBeta, Ve, VpLinear

SHAPES = [(5,), (2, 6), (1, 4, 5), (1, 3, 2, 4)]
SCHEDULES = [VpLinear(), Cosine(), Ve(), Flow(), LinearBeta()]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
R, S, T = torch.tensor([[0.0, 0.1, 0.5], [0.2, 0.4, 0.51], [0.9, 0.45, 0.95]], dtype=torch.float64)


def points(seed, *shape):
    return Rng(seed).normal(torch.zeros(*shape, dtype=torch.float64))


def bayes_gap(process, shape=(1, 4, 5)):
    x0, xs, xt = (points(k, 3, *shape) for k in range(3))
    s = S.clamp(min=1e-3)
    xt = process.marginal(x0, T).mean + 0.3 * xt
    xs = process.bridge(x0, xt, s, T).sample(Rng(9))
    left = process.bridge(x0, xt, s, T).log_prob(xs) + process.marginal(x0, T).log_prob(xt)
    right = process.transition(xs, s, T).log_prob(xt) + process.marginal(x0, s).log_prob(xs)
    return float(((left - right) / (1 + left.abs())).abs().max())


def composition_gap(process, shape=(1, 4, 5)):
    """Two transitions in a row against one, in mean and variance of every frequency."""
    xr = points(3, 3, *shape)
    direct, first = process.transition(xr, R, T).law, process.transition(xr, R, S)
    second = process.transition(first.mean, S, T).law
    slope = process.signal(T, xr) / process.signal(S, xr)
    variance = second.std**2 + (slope * first.law.std) ** 2
    return max(float((second.mean - direct.mean).abs().max()), float((variance / direct.std**2 - 1).abs().max()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_basis_is_orthonormal_and_diagonalises_the_laplacian(shape):
    x = points(0, 2, *shape)
    torch.testing.assert_close(to_values(to_frequencies(x)), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(to_frequencies(x).square().sum(), x.square().sum(), rtol=1e-12, atol=0)
    # on one axis: the second difference with insulated ends has eigenvalues 2 − 2 cos(πk/n), (πk/n)² to first order
    n = 7
    v = basis(n, torch.float64, torch.device("cpu"))
    laplacian = 2 * torch.eye(n).double() - torch.eye(n).double().roll(1, 0) - torch.eye(n).double().roll(-1, 0)
    laplacian[0, 0] = laplacian[-1, -1] = 1.0
    laplacian[0, -1] = laplacian[-1, 0] = 0.0
    k = torch.arange(n, dtype=torch.float64)
    torch.testing.assert_close(v @ laplacian @ v.T, torch.diag(2 - 2 * torch.cos(math.pi * k / n)), rtol=0, atol=1e-12)
    torch.testing.assert_close(eigenvalues(torch.zeros(1, n).double()), (math.pi * k / n) ** 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_spectral_normal_is_the_dense_normal_of_its_covariance(shape):
    size = math.prod(shape)
    std = 0.2 + points(1, 1, *shape).abs()
    law = Spectral(Normal(points(2, 1, *shape), std))
    change = to_values(torch.eye(size, dtype=torch.float64).reshape(size, *shape)).flatten(1)  # rows are V's columns
    covariance = change.T @ torch.diag(std.flatten() ** 2) @ change
    dense = torch.distributions.MultivariateNormal(law.mean.flatten(), covariance)
    x = points(3, 1, *shape)
    assert float(law.log_prob(x)) == pytest.approx(float(dense.log_prob(x.flatten())), rel=1e-9)
    torch.testing.assert_close(law.std.flatten() ** 2, covariance.diag(), rtol=1e-9, atol=0)


@every_schedule
def test_without_blur_it_is_the_gaussian_process(schedule):
    blur, plain = Blur(schedule, blur=0.0), Gaussian(schedule)
    x0, xt, s = points(0, 3, 1, 4, 5), points(1, 3, 1, 4, 5), S.clamp(min=1e-3)
    for one, other in (
        (blur.marginal(x0, T), plain.marginal(x0, T)),
        (blur.transition(x0, s, T), plain.transition(x0, s, T)),
        (blur.bridge(x0, xt, s, T), plain.bridge(x0, xt, s, T)),
        (blur.reverse(Normal(x0, 0.7), xt, s, T), plain.reverse(Normal(x0, 0.7), xt, s, T)),
        (blur.prior((3, 1, 4, 5)), plain.prior((3, 1, 4, 5))),
    ):
        torch.testing.assert_close(one.mean.double(), other.mean.double(), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(one.log_prob(xt), other.log_prob(xt), rtol=1e-6, atol=1e-6)
    bridges = blur.bridge(x0, xt, s, T).kl(blur.reverse(Normal(xt, 0.5), xt, s, T))
    plains = plain.bridge(x0, xt, s, T).kl(plain.reverse(Normal(xt, 0.5), xt, s, T))
    torch.testing.assert_close(bridges, plains, rtol=1e-6, atol=1e-9)


@every_schedule
def test_bayes_rule_and_composition_hold_in_every_frequency(schedule):
    for amount in (0.0, 0.5, 4.0):
        process = Blur(schedule, blur=amount)
        assert bayes_gap(process) < 1e-8
        assert composition_gap(process) < 1e-9


@every_schedule
def test_the_bridge_ends_at_its_data_and_a_certain_posterior_makes_the_reverse_the_bridge(schedule):
    process, x0, xt = Blur(schedule), points(4, 3, 1, 4, 5), points(5, 3, 1, 4, 5)
    end = process.bridge(x0, xt, torch.zeros(3, dtype=torch.float64), T)
    torch.testing.assert_close(end.mean, x0, rtol=0, atol=1e-9)
    bridge, reverse = process.bridge(x0, xt, S, T), process.reverse(Normal(x0), xt, S, T)
    torch.testing.assert_close(reverse.mean, bridge.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(reverse.std, bridge.std, rtol=0, atol=1e-12)


def test_fine_detail_goes_before_coarse():
    process = Blur(VpLinear(), blur=4.0)
    signal = process.signal(0.5, torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    assert float(signal[..., 0, 0]) == pytest.approx(VpLinear().alpha(0.5), rel=1e-12)
    assert bool((signal.diff(dim=-1) < 0).all())
    assert bool((signal.diff(dim=-2) < 0).all())


def test_samples_have_the_moments_that_are_stated():
    process, rows = Blur(VpLinear()), 20_000
    x0 = points(6, 1, 1, 3, 3).expand(rows, 1, 3, 3)
    law = process.transition(x0, 0.2, 0.5)
    x = law.sample(Rng(7))
    assert float(((x.mean(0) - law.mean[0]) / law.std[0]).abs().max()) < 5 / math.sqrt(rows)
    assert float((x.std(0) / law.std[0] - 1).abs().max()) < 5 / math.sqrt(2 * rows)


@every_schedule
def test_an_exact_posterior_makes_the_reverse_exact_for_white_data_without_blur(schedule):
    """With N(0, 1) data the posterior has one std and the reverse is Bayes' rule."""
    process, plain = Blur(schedule, blur=0.0), Gaussian(schedule)
    oracle = GaussianData(plain, torch.zeros(1, 4, 5).double(), torch.ones(1, 4, 5).double())
    s, xt = S.clamp(min=1e-3), points(8, 3, 1, 4, 5)
    one, other = (p.reverse(oracle(xt, T), xt, s, T) for p in (process, plain))
    torch.testing.assert_close(one.log_prob(xt), other.log_prob(xt), rtol=1e-6, atol=1e-6)


@dataclass(frozen=True)
class Forgetful(Blur):
    """A mutant whose transition blurs from the start again."""

    def transition(self, xs, s, t):
        return self.marginal(xs, t)


def test_the_laws_reject_a_process_that_is_wrong():
    assert bayes_gap(Forgetful(VpLinear())) > 1e-2
    assert composition_gap(Forgetful(VpLinear())) > 1e-2
