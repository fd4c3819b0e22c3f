"""The 2015 system: its edge convention against the oracle, its null values, its networks, and the command."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import FiniteData, GaussianData
from reverie.denoisers.terms import denoising_term
from reverie.losses import FullBound
from reverie.processes import Gaussian, VpLinear
from reverie.training import heartbeat, mnist_2015, reproduction, swiss_roll


def test_the_papers_null_values_and_truth():
    assert pytest.approx(-14.439, abs=1e-3) == heartbeat.NULL
    assert pytest.approx(-4.094, abs=1e-3) == swiss_roll.NULL
    assert pytest.approx(-2.3219, abs=1e-4) == heartbeat.TRUTH
    assert pytest.approx(-2.414, abs=2e-3) == heartbeat.NULL + 12.024  # the two columns of the paper agree


def test_the_oracle_reaches_the_heartbeats_truth_and_the_edge_costs_a_few_hundredths():
    oracle = FiniteData(heartbeat.process(), heartbeat.sequences())
    x0 = heartbeat.sequences().repeat(40, 1)
    edge, ordinary = reproduction.table_bound(oracle, x0, heartbeat.STEPS, rng=Rng(0), terms=60)
    error = 4 * float(ordinary.std()) / math.sqrt(len(x0))
    # 2,000 steps with independent bits lose about 0.003 bits
    assert abs(float(ordinary.mean()) - heartbeat.TRUTH) < error + 0.01
    assert 0 < float((ordinary - edge).mean()) < 0.3


def test_the_edge_is_the_forward_kernel_of_a_process_that_keeps_its_prior():
    """For N(0, 1) data the forward kernel turned round is exact, so that both bounds are log p."""
    oracle = GaussianData(Gaussian(VpLinear()), torch.zeros(2).double(), torch.ones(2).double())
    x0 = Rng(0).normal(torch.zeros(400, 2, dtype=torch.float64))
    edge, ordinary = reproduction.table_bound(oracle, x0, 10, rng=Rng(1))
    exact = float((-0.5 * (x0**2).sum(1) - math.log(2 * math.pi)).mean()) / math.log(2)
    for bits in (edge, ordinary):
        assert abs(float(bits.mean()) - exact) < 4 * float(bits.std()) / math.sqrt(len(x0))


def test_a_silent_bit_network_is_the_oracle_of_coin_tosses():
    made = heartbeat.BitNetwork(heartbeat.process())
    everything = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    flat = FiniteData(made.process, everything)
    xt = heartbeat.sequences()
    expected = flat(xt.reshape(-1, 1), 0.3).probs.reshape(5, 20, 2)
    torch.testing.assert_close(made(xt, 0.3).probs, expected, rtol=0, atol=1e-6)


def test_solved_read_outs_are_those_of_least_squares_and_lower_the_bound():
    made = swiss_roll.RadialBasis(swiss_roll.along(16), steps=4, first=1e-2)
    x0, xt, t = swiss_roll._rows(made, 300, Rng(5))
    before = float(denoising_term(made, x0, xt, t - 0.25, t).mean().detach())
    made.solve(*made.equations(x0, xt, t))
    assert float(denoising_term(made, x0, xt, t - 0.25, t).mean().detach()) < before
    hidden, rows = made.hidden(xt, t).detach(), slice(300, 600)
    alpha, sigma = made.schedule.alpha(0.75).detach(), made.schedule.sigma(0.75).detach()
    plain = torch.linalg.lstsq(hidden[rows], ((x0 - alpha * xt) / sigma)[rows], driver="gelsd").solution
    # the spread is still the same everywhere, so that all weights are equal
    torch.testing.assert_close(hidden[rows] @ made.mean[2], hidden[rows] @ plain, rtol=0, atol=1e-4)


def test_read_outs_do_not_depend_on_the_order_of_rows():
    made = swiss_roll.RadialBasis(swiss_roll.along(16), steps=4, first=1e-2)
    x0, xt, t = swiss_roll._rows(made, 50, Rng(5))
    made.solve(*made.equations(x0, xt, t))
    mixed = Rng(0).uniform(len(t)).argsort()
    torch.testing.assert_close(made(xt, t).mean[mixed], made(xt[mixed], t[mixed]).mean)


def test_no_density_of_the_blurred_roll_exceeds_the_ceiling():
    """A fine mixture along the roll is the law of x_1, here with β_1 = 1e-3; its negative entropy is the ceiling."""
    x1 = swiss_roll.points(1000, Rng(0)) + math.sqrt(1e-3) * Rng(1).normal(torch.zeros(1000, 2, dtype=torch.float64))
    places = (swiss_roll._GRID[::50] - swiss_roll._MEAN) / swiss_roll._STD
    log_kernel = -0.5 * torch.cdist(x1, places).square() / 1e-3 - math.log(2 * math.pi * 1e-3)
    bits = (torch.logsumexp(log_kernel, 1) - math.log(len(places))) / math.log(2)
    assert abs(float(bits.mean()) - swiss_roll.ceiling(1e-3)) < 4 * float(bits.std()) / math.sqrt(1000) + 0.01


def test_points_of_the_roll_have_unit_variance_and_betas_learn():
    x = swiss_roll.points(20_000, Rng(0))
    assert float((x.std(0) - 1).abs().max()) < 5 / math.sqrt(2 * 20_000)
    made = swiss_roll.RadialBasis(x[:16])
    betas = made.schedule.betas()
    assert betas.shape == (40,)
    assert bool((betas > 0).all())
    alpha, sigma = made.schedule.alpha(1.0), made.schedule.sigma(1.0)
    assert (alpha**2 + sigma**2).item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", reproduction.EXPERIMENTS)
def test_a_few_updates_give_a_row_of_the_table(name):
    row = reproduction.EXPERIMENTS[name](lambda *_: None, updates=2, quick=True)
    assert math.isfinite(row.bound)
    assert row.gain == row.bound - row.null
    assert name.replace("-", " ").split()[-1] in reproduction.table([row])


def test_the_system_of_2015_learns_pictures_and_their_noise():
    data = open_data("digits")
    outcome = mnist_2015.mnist(lambda *_: None, data, updates=2, quick=True)
    assert 4 < -outcome.bound[0] / outcome.pixels < 9  # nothing learned yet: about the cost of the levels themselves
    assert "training images" in str(outcome)
    made = mnist_2015.build(data.spec)
    loss = FullBound(steps=mnist_2015.STEPS, bins=17)(made, data.rows(torch.arange(64)), rng=Rng(0)).mean()
    loss.backward()
    assert float(made.get_submodule("schedule").raw.grad.abs().min()) > 0  # every β but the first is taught
