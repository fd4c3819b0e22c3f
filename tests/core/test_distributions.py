"""Distributions per example against torch's own, quadrature and samples."""

import math

import pytest
import torch
from torch import distributions as reference

from reverie.core.distributions import Empirical, Normal, NormalMixture, normal
from reverie.core.rng import Rng


def draws(*shape, seed=0):
    return Rng(seed).normal(torch.zeros(shape, dtype=torch.float64))


def pair(seed=0):
    mean, std = draws(4, 3, 2, seed=seed), draws(4, 3, 2, seed=seed + 1).exp()
    return Normal(mean, std), reference.Normal(mean, std)


def mixture(rows=4):
    log_weights, means, stds = draws(rows, 3), draws(rows, 3, 2, seed=1), draws(rows, 3, 2, seed=2).mul(0.5).exp()
    mine = NormalMixture(log_weights, means, stds)
    parts = reference.Independent(reference.Normal(means, stds), 1)
    return mine, reference.MixtureSameFamily(reference.Categorical(logits=log_weights), parts)


def test_a_normal_has_the_density_of_a_normal_summed_over_the_elements():
    mine, other = pair()
    x = draws(4, 3, 2, seed=5)
    torch.testing.assert_close(mine.log_prob(x), other.log_prob(x).flatten(1).sum(1), rtol=1e-12, atol=0)


def test_the_divergence_between_normals_is_the_closed_form():
    (p, p_ref), (q, q_ref) = pair(0), pair(7)
    expected = reference.kl_divergence(p_ref, q_ref).flatten(1).sum(1)
    torch.testing.assert_close(p.kl(q), expected, rtol=1e-11, atol=0)
    assert torch.equal(p.kl(p), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("difference", [1e-2, 1e-4, 1e-6, 1e-8])
def test_the_divergence_keeps_its_digits_where_two_normals_nearly_agree(difference):
    mean = torch.zeros(1, 1, dtype=torch.float64)
    # ½(ρ² − 1 − log ρ²) with ρ² = 1 + x is x²/4 − x³/6 + …; the naive formula loses every digit at x = 2e-9
    p, q = Normal(mean, math.sqrt(1 + difference)), Normal(mean, 1.0)
    ratio = math.sqrt(1 + difference)
    x = (ratio - 1) * (ratio + 1)
    series = 0.5 * sum((-1) ** k * x**k / k for k in range(2, 7))
    assert float(p.kl(q)) == pytest.approx(series, rel=1e-6)


def test_a_point_mass_is_drawn_as_its_mean_and_settles_there():
    mean = draws(3, 2)
    assert Normal(mean).sample(Rng(0)) is mean
    assert Normal(mean, 2.0).settle(Rng(0)) is mean


def test_samples_of_a_normal_have_its_moments():
    mean, std = torch.full((200_000, 1), 3.0, dtype=torch.float64), 0.5
    x = Normal(mean, std).sample(Rng(3))
    assert abs(float(x.mean()) - 3) < 5 * std / math.sqrt(len(x))
    assert abs(float(x.std()) / std - 1) < 5 / math.sqrt(2 * len(x))


def test_a_std_per_example_is_spread_over_the_elements():
    d = normal(torch.zeros(2, 3, 4), torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert d.std.shape == (2, 1, 1)


def test_a_mixture_has_its_density_and_moments():
    mine, other = mixture()
    x = draws(4, 2, seed=9)
    torch.testing.assert_close(mine.log_prob(x), other.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mine.mean, other.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mine.std, other.variance.sqrt(), rtol=1e-12, atol=1e-12)


def test_samples_of_a_mixture_choose_components_by_weight():
    rows = 100_000
    means = torch.tensor([-5.0, 0.0, 5.0], dtype=torch.float64).reshape(1, 3, 1).expand(rows, 3, 1)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    x = NormalMixture(weights.log().expand(rows, 3), means, torch.full_like(means, 0.1)).sample(Rng(0))
    share = torch.bincount((x[:, 0] / 5).round().long() + 1, minlength=3) / rows
    assert (share - weights).abs().max() < 5 * 0.5 / math.sqrt(rows)


def test_a_choice_among_points_has_the_moments_of_its_weights():
    points, log_weights = draws(6, 3), draws(2, 6, seed=1)
    choice = Empirical(log_weights, points)
    w = log_weights.softmax(1)
    mean = torch.einsum("bn,nd->bd", w, points)
    torch.testing.assert_close(choice.mean, mean)
    torch.testing.assert_close(choice.std**2, torch.einsum("bn,bnd->bd", w, (points - mean[:, None]) ** 2))
    with pytest.raises(NotImplementedError, match="no density"):
        choice.log_prob(points[:2])


def test_a_choice_draws_each_point_as_often_as_its_weight_says():
    rows, points = 100_000, torch.arange(4.0, dtype=torch.float64)[:, None]
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    x = Empirical(weights.log().expand(rows, 4), points).sample(Rng(2))
    share = torch.bincount(x[:, 0].long(), minlength=4) / rows
    assert (share - weights).abs().max() < 5 * 0.5 / math.sqrt(rows)


def test_the_divergence_of_different_families_is_refused_by_name():
    with pytest.raises(NotImplementedError, match=r"KL\(Normal ‖ NormalMixture\)"):
        pair()[0].kl(mixture()[0])
