"""Laws of times: each example's own law is the stated one, also when the batch is stratified or paired."""

import math

import pytest
import torch

from reverie.core import catalog
from reverie.core.rng import Rng
from reverie.losses import Continuous, Discrete, LogNormal, LogUniform
from reverie.processes import Edm, Flow, Gaussian, LinearBeta, VpLinear

PROCESS = Gaussian(VpLinear())
NAMES = catalog.names("losses", "Times")
every_law = pytest.mark.parametrize("name", NAMES)
MANY = 20_000


def law(name, **options):
    return catalog.build("losses", {"name": name, **options})


def kolmogorov(u):
    u = u.sort().values
    n = len(u)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps[1:] - u).max(), (u - steps[:-1]).max())) * math.sqrt(n)


@every_law
def test_quantiles_rise_within_the_unit_interval(name):
    u = torch.linspace(1e-6, 1 - 1e-6, 2001, dtype=torch.float64)
    t = law(name).quantile(u, PROCESS)
    assert (t.diff() >= 0).all()
    assert t.min() > 0
    assert t.max() <= 1


@every_law
@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("antithetic", [True, False])
def test_draws_are_quantiles_of_uniform_numbers(name, stratified, antithetic):
    """The share of draws below the quantile of u is u, to the noise of the sample."""
    times = law(name, stratified=stratified, antithetic=antithetic)
    t = times.draw(PROCESS, Rng(1), MANY)
    assert t.dtype == torch.float64
    for u in (0.1, 0.25, 0.5, 0.75, 0.9):
        at = times.quantile(torch.tensor([u], dtype=torch.float64), PROCESS)
        above, below = float((t <= at + 1e-12).double().mean()), float((t < at - 1e-12).double().mean())
        # antithetic pairs at most double the variance of a share
        slack = 5 * math.sqrt(2 * 0.25 / MANY)
        assert below - slack <= u <= above + slack


@every_law
@pytest.mark.parametrize("options", [{}, {"stratified": False}, {"antithetic": True}])
def test_a_shard_draws_what_the_whole_would_have_drawn(name, options):
    times, rng = law(name, **options), Rng(2)
    whole = times.draw(PROCESS, rng, 32)
    parts = [times.draw(PROCESS, rng.at(torch.arange(8) + first), 8) for first in (0, 8, 16, 24)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("options", [{}, {"antithetic": True}])
def test_an_example_of_a_stratified_batch_has_a_uniform_time_of_its_own(options):
    times = Continuous(low=0.0, **options)
    fifth = torch.stack([times.draw(PROCESS, Rng(seed), 6)[5] for seed in range(2000)])
    assert kolmogorov(fifth) < 3.0


def discrepancy(t):
    return kolmogorov(t) / math.sqrt(len(t))


def test_a_stratified_batch_covers_the_interval_evenly():
    """The golden-ratio sequence has discrepancy below (2 + log n)/n; independent times are about 1/√n apart."""
    for seed in range(20):
        n = 256
        assert discrepancy(Continuous(low=0.0).draw(PROCESS, Rng(seed), n)) < (2 + math.log(n)) / n
    assert discrepancy(Continuous(low=0.0, stratified=False).draw(PROCESS, Rng(0), 256)) > (2 + math.log(256)) / 256


@pytest.mark.parametrize("stratified", [True, False])
def test_antithetic_neighbours_mirror_each_other(stratified):
    t = Continuous(low=0.0, antithetic=True, stratified=stratified).draw(PROCESS, Rng(3), 64)
    torch.testing.assert_close(t[0::2] + t[1::2], torch.ones(32, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("first", [1, 2])
def test_discrete_times_are_the_points_of_the_table_equally_often(first):
    """U{1..T} of the paper and U{2..T} of the lecture."""
    steps = 10
    t = Discrete(steps=steps, first=first, stratified=False).draw(PROCESS, Rng(4), MANY)
    counts = torch.bincount((t * steps).round().long(), minlength=steps + 1)
    assert counts[:first].sum() == 0
    expected = MANY / (steps - first + 1)
    chi_squared = float(((counts[first:] - expected) ** 2 / expected).sum())
    # 9 or 8 degrees of freedom: P(χ² > 50) < 2e-7
    assert chi_squared < 50
    assert torch.equal((t * steps).round() / steps, t)


@pytest.mark.parametrize("first", [0, 11])
def test_discrete_times_refuse_a_start_outside_the_table(first):
    with pytest.raises(ValueError, match="first must be between 1 and 10"):
        Discrete(steps=10, first=first)


@pytest.mark.parametrize("schedule", [Edm(), VpLinear(), Flow(), LinearBeta()], ids=repr)
def test_log_normal_times_have_a_log_normal_noise_level(schedule):
    t = LogNormal(stratified=False).draw(Gaussian(schedule), Rng(5), MANY)
    log_ratio = -schedule.log_snr(t) / 2
    inside = (t > 2e-7) & (t < 1 - 1e-9)
    # what the schedule cannot reach is held at its ends: a share below 1e-3
    assert inside.double().mean() > 0.999
    assert kolmogorov(torch.special.ndtr((log_ratio + 1.2) / 1.2)[inside]) < 3.0


def test_log_uniform_times_are_uniform_in_the_logarithm_of_the_noise():
    schedule = Edm()
    t = LogUniform(low=0.01, high=10.0, stratified=False).draw(Gaussian(schedule), Rng(6), MANY)
    u = (torch.log(schedule.sigma(t)) - math.log(0.01)) / math.log(1000)
    assert kolmogorov(u) < 3.0


def test_the_test_of_a_law_would_see_another():
    t = Continuous(low=0.0, stratified=False).draw(PROCESS, Rng(7), MANY)
    assert kolmogorov(t**1.1) > 3.0


def test_times_stay_even_however_late_in_a_run() -> None:
    """Positions in the billions: 256 neighbours still fall into 256 different cells of width 1/128 or closer."""
    process, rows = Gaussian(VpLinear()), 256
    for first in (0, 10**6, 10**9, 10**12):
        rng = Rng(0).at(torch.arange(first, first + rows))
        u = Continuous(low=0.0).draw(process, rng, rows).sort().values
        gaps = torch.diff(u)
        assert float(gaps.max()) < 3 / rows
        assert float(gaps.min()) > 0.3 / rows
