"""Metrics against known answers: closed forms, equal laws, and defects that each must see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from reverie import metrics
from reverie.core.rng import Rng


def cloud(count: int, dimension: int, seed: int, *, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return mean + std * Rng(seed).normal(torch.empty(count, dimension, dtype=torch.float64))


def modes(count: int, seed: int, shares: tuple[float, ...]) -> Tensor:
    """Points around (10 k, 0) with these shares and unit spread."""
    edges = torch.tensor(shares).cumsum(0)
    k = torch.searchsorted(edges, Rng(seed).fork("mode").uniform(count).float()).clamp(max=len(shares) - 1)
    return cloud(count, 2, seed) + 10 * torch.stack((k.double(), 0 * k), 1)


def test_the_frechet_distance_of_gaussians_is_its_closed_form() -> None:
    """N(0, I) against N(m, s² I): d² = D m² + D (1 − s)²; the bias of the estimate is of order 1/N."""
    x, y = cloud(200_000, 3, 0), cloud(200_000, 3, 1, mean=0.5, std=2.0)
    found = metrics.estimate(metrics.frechet_distance, x, y)
    assert found.value == pytest.approx(3 * 0.25 + 3.0, abs=4 * found.error + 1e-3)
    assert found.error < 0.05


def test_the_frechet_distance_agrees_with_an_independent_matrix_root() -> None:
    mix = Rng(5).normal(torch.empty(6, 6, dtype=torch.float64))
    x, y = cloud(500, 6, 2) @ mix, cloud(400, 6, 3) + 0.3
    a, b = x.numpy(), y.numpy()
    s, t = np.cov(a.T), np.cov(b.T)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert metrics.frechet_distance(x, y) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("metric", [metrics.kernel_distance, metrics.energy_distance])
def test_an_unbiased_distance_is_zero_in_mean_for_equal_laws(metric) -> None:
    found = torch.tensor([metric(cloud(60, 4, 10 + k), cloud(50, 4, 500 + k)) for k in range(200)])
    assert abs(float(found.mean())) < 4 * float(found.std()) / math.sqrt(200)
    assert metric(cloud(500, 4, 1), cloud(500, 4, 2, mean=0.8)) > 5 * float(found.std())


def test_the_energy_distance_of_two_points_is_known() -> None:
    assert metrics.energy_distance(torch.zeros(3, 1), torch.full((3, 1), 2.0)) == pytest.approx(4.0)


def test_the_sliced_distance_of_shifted_clouds_is_known() -> None:
    """A shift by m changes every shadow by θ·m: d² = |m|²/D."""
    x = cloud(1000, 8, 0)
    shift = torch.zeros(8, dtype=torch.float64)
    shift[0] = 2.0
    assert metrics.sliced_wasserstein(x, x + shift, directions=2000) == pytest.approx(2 / math.sqrt(8), rel=0.05)
    assert metrics.sliced_wasserstein(x, x) == 0.0
    assert metrics.sliced_wasserstein(x, cloud(1000, 8, 1)) < 0.15


def test_a_dropped_mode_lowers_recall_and_coverage_but_not_precision() -> None:
    real, samples = modes(1000, 0, (0.5, 0.3, 0.2)), modes(1000, 1, (0.625, 0.375))
    found = metrics.manifold(samples, real)
    fair = metrics.manifold(modes(1000, 2, (0.5, 0.3, 0.2)), real)
    assert fair.precision > 0.95
    assert found.precision > 0.95
    assert fair.coverage - found.coverage == pytest.approx(0.2, abs=0.05)
    assert fair.recall - found.recall == pytest.approx(0.2, abs=0.05)
    assert fair.density == pytest.approx(1.0, abs=0.15)


def test_an_invented_mode_lowers_precision_and_density_but_not_recall() -> None:
    real, samples = modes(1000, 0, (0.6, 0.4)), modes(1000, 1, (0.5, 0.3, 0.2))
    found = metrics.manifold(samples, real)
    assert found.precision == pytest.approx(0.8, abs=0.05)
    assert found.density == pytest.approx(0.8, abs=0.1)
    assert found.recall > 0.9


def test_a_classifier_tells_different_laws_apart_and_equal_ones_not() -> None:
    same = [metrics.two_sample_test(cloud(400, 3, k), cloud(400, 3, 100 + k), linear=True) for k in range(20)]
    assert sum(test.p_value < 0.05 for test in same) <= 5  # P[more] = 2e-4 for a test of level 5 %
    told = metrics.two_sample_test(cloud(1000, 3, 0), cloud(1000, 3, 1, std=1.6))
    assert told.p_value < 1e-6


def test_copies_are_counted_and_chance_is_not() -> None:
    train, held, fresh = cloud(500, 16, 0), cloud(200, 16, 1), cloud(200, 16, 2)
    copied = torch.cat((train[:20] + 1e-3, fresh[20:]))
    found = metrics.copy_shares(copied, train, held)
    assert found.samples == pytest.approx(0.1, abs=0.03)
    assert found.held_out < 0.04


def test_the_distance_that_counts_as_a_copy_is_read_from_a_part_of_many_examples() -> None:
    train = cloud(9000, 4, 0)
    every = metrics.nearest(train, train, own=torch.arange(9000))
    below = metrics.copy_shares(train[:1], train, train[:1]).below
    # the share below is binomial with 4,500 draws at 1 %: four standard errors are 0.6 %
    assert float((every <= below).float().mean()) == pytest.approx(0.01, abs=0.006)


def test_a_wrong_column_is_named_by_its_marginal_and_a_lost_correlation_by_its_own() -> None:
    x, y = cloud(2000, 3, 0), cloud(2000, 3, 1)
    y[:, 2] += 1.0
    found = metrics.columns(x, y)
    assert max(range(3), key=lambda j: found.marginals[j]) == 2
    assert found.marginals[0] < 1.95 * math.sqrt(2 / 2000)
    tied = x.clone()
    tied[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    assert metrics.columns(tied, x).correlation == pytest.approx(0.8, abs=0.05)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Energy distance of N(0, 1) and N(1, 1) in one dimension, by many repetitions: truth from a large sample."""
    truth = metrics.energy_distance(cloud(10_000, 1, 900), cloud(10_000, 1, 901, mean=1.0))
    found = [
        metrics.estimate(metrics.energy_distance, cloud(200, 1, k), cloud(200, 1, 300 + k, mean=1.0)) for k in range(40)
    ]
    covered = sum(f.low <= truth <= f.high for f in found)
    assert covered >= 31  # 38 expected; P[fewer than 31] < 1e-2 even at a true level of 87 %


def test_sides_that_do_not_compare_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 4 features"):
        metrics.frechet_distance(cloud(10, 3, 0), cloud(10, 4, 0))
    with pytest.raises(ValueError, match="at least two"):
        metrics.kernel_distance(cloud(1, 3, 0), cloud(10, 3, 0))
    with pytest.raises(ValueError, match="5 neighbours need more"):
        metrics.manifold(cloud(5, 3, 0), cloud(10, 3, 0))


@pytest.mark.parametrize(
    ("kernel", "metric"), [(metrics.nearness, metrics.energy_distance), (metrics.cubic, metrics.kernel_distance)]
)
def test_the_error_from_one_look_at_the_pairs_is_that_of_leaving_groups_out(kernel, metric) -> None:
    """The sums by group give what recomputing without each group gives, to rounding."""
    x, y = cloud(137, 3, 0), cloud(93, 3, 1, mean=0.3)
    quick = metrics.discrepancy(metrics.Cloud(x, kernel, groups=10), metrics.Cloud(y, kernel, groups=10))
    slow = metrics.estimate(metric, x, y)
    assert quick.left == pytest.approx(slow.left, rel=1e-9, abs=1e-9)
    assert quick.error == pytest.approx(slow.error, rel=1e-9)


def test_the_error_of_a_paired_difference_leaves_out_what_is_common() -> None:
    """Two sample sets that share their noise: their distances differ more surely than either is known."""
    real, x = cloud(400, 2, 0), cloud(400, 2, 1)
    one, two = (metrics.estimate(metrics.energy_distance, side, real) for side in (x, 1.03 * x))
    apart = two.minus(one)
    assert apart.value == pytest.approx(two.value - one.value)
    assert apart.error < 0.5 * math.hypot(one.error, two.error)
