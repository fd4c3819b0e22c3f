"""The regression loss with exact oracles: its expectation is the posterior variance, weighted."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, GaussianData
from reverie.losses import Continuous, Discrete, EdmWeight, Flat, Regression, Simple, SnrPlusOne
from reverie.processes import Flow, Gaussian, VpLinear

ROWS = 20_000


def oracle(schedule=None, std=0.6):
    return GaussianData(Gaussian(schedule or VpLinear()), torch.tensor([0.5]).double(), torch.tensor([std]).double())


def data(rows=ROWS, std=0.6):
    return 0.5 + std * Rng(0).normal(torch.zeros(rows, 1, dtype=torch.float64))


@pytest.mark.parametrize("weight", [Flat(), Simple(), EdmWeight(0.5), SnrPlusOne()], ids=repr)
@pytest.mark.parametrize("schedule", [VpLinear(), Flow()], ids=repr)
@pytest.mark.parametrize("antithetic", [False, True])
def test_the_loss_of_an_exact_denoiser_is_the_weighted_posterior_variance(weight, schedule, antithetic):
    """E‖x0 − E[x0|xt]‖² = s²σ²/(α²s² + σ²): no denoiser can do better."""
    for t in (0.1, 0.5, 0.9):
        times = torch.full((ROWS,), t, dtype=torch.float64)
        losses = Regression(weight=weight, antithetic=antithetic).at(oracle(schedule), data(), times, rng=Rng(1))
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        expected = weight(schedule.log_snr(t)) * 0.36 * sigma**2 / (alpha**2 * 0.36 + sigma**2)
        # each loss is expected · χ²₁: standard deviation √2, at most doubled in variance by pairing
        assert float(losses.mean()) == pytest.approx(expected, rel=5 * math.sqrt(2 * 2 / ROWS))


class Biased(Denoiser):
    """A mutant: the exact denoiser with its mean shifted by a tenth of the data's spread."""

    def __init__(self):
        super().__init__()
        self.inner = oracle()
        self.process = self.inner.process

    def forward(self, xt, t):
        posterior = self.inner(xt, t)
        posterior.mean = posterior.mean + 0.06
        return posterior


def test_any_other_denoiser_has_a_larger_loss():
    loss, x0 = Regression(weight=Flat()), data()
    assert loss(Biased(), x0, rng=Rng(2)).mean() > loss(oracle(), x0, rng=Rng(2)).mean() + 0.5 * 0.06**2


def test_antithetic_neighbours_get_opposite_noise():
    class Spy(Denoiser):
        process = Gaussian(Flow())

        def forward(self, xt, t):
            self.seen = xt
            return oracle()(xt, t)

    spy = Spy()
    t = torch.full((6,), 0.5, dtype=torch.float64)
    Regression(antithetic=True).at(spy, torch.zeros(6, 1, dtype=torch.float64), t, rng=Rng(3))
    assert torch.equal(spy.seen[0::2], -spy.seen[1::2])


@pytest.mark.parametrize("loss", [Regression(), Regression(antithetic=True), Regression(times=Discrete(steps=50))])
def test_two_halves_of_a_batch_have_the_losses_of_the_whole(loss):
    x0, rng = data(16), Rng(4)
    whole = loss(oracle(), x0, rng=rng)
    halves = [loss(oracle(), x0[k : k + 8], rng=rng.at(torch.arange(k, k + 8))) for k in (0, 8)]
    torch.testing.assert_close(torch.cat(halves), whole, rtol=1e-13, atol=0)


def test_a_loss_is_the_loss_at_its_own_times():
    loss, x0, rng = Regression(times=Continuous()), data(8), Rng(5)
    t = loss.times.draw(oracle().process, rng, 8)
    assert torch.equal(loss(oracle(), x0, rng=rng), loss.at(oracle(), x0, t, rng=rng))
    assert loss(oracle(), x0, rng=rng).shape == (8,)


def test_the_mean_is_over_elements_so_that_sizes_compare():
    process = Gaussian(VpLinear())
    t = torch.full((4000,), 0.5, dtype=torch.float64)
    means = []
    for size in (1, 50):
        one = GaussianData(process, torch.zeros(size).double(), torch.ones(size).double())
        x0 = Rng(6).normal(torch.zeros(4000, size, dtype=torch.float64))
        means.append(float(Regression(weight=Flat()).at(one, x0, t, rng=Rng(7)).mean()))
    assert means[0] == pytest.approx(means[1], rel=5 * math.sqrt(2 / 4000))
