"""Langevin dynamics of any density: stationary laws, exact where they are known in closed form."""

import functools
import math

import pytest
import torch

from reverie.core.distributions import Normal, NormalMixture
from reverie.core.rng import Rng
from reverie.denoisers import Mixture, score
from reverie.processes import Gaussian, Ve
from reverie.samplers import AnnealedLangevin, LogSnr, langevin, metropolis_langevin, sample
from reverie.samplers.langevin import ncsnv2_levels, ncsnv2_step

COUNT = 20_000


def last(iterator):
    *_, value = iterator
    return value


def target() -> NormalMixture:
    return NormalMixture(
        torch.tensor([[0.3, 0.7]]).double().log(), torch.tensor([[[-1.0], [1.5]]]).double(), torch.tensor(0.6)
    )


@pytest.mark.parametrize("step", [0.05, 0.4])
def test_unadjusted_langevin_has_the_stationary_variance_that_theory_gives_its_step(step):
    variance = 0.7
    x = Rng(0).normal(torch.empty(COUNT, 1).double())
    x = last(langevin(lambda x: -x / variance, x, step=step, steps=200, rng=Rng(1)))
    expected = variance / (1 - step / (2 * variance))
    assert float(x.var()) == pytest.approx(expected, rel=4.5 * math.sqrt(2 / COUNT))


def test_metropolis_adjusted_langevin_has_the_density_itself_as_its_law():
    law = target()
    x = 2 * Rng(0).normal(torch.empty(COUNT, 1).double())

    def log_prob(x):
        return NormalMixture(law.log_weights.expand(len(x), -1), law.means.expand(len(x), -1, -1), law.stds).log_prob(x)

    chain = list(metropolis_langevin(log_prob, x, step=0.5, steps=300, rng=Rng(1)))
    x, rates = chain[-1][0], [float(accepted.double().mean()) for _, accepted in chain]
    assert float(x.mean()) == pytest.approx(float(law.mean), abs=4.5 * float(law.std) / math.sqrt(COUNT))
    assert float(x.var()) == pytest.approx(float(law.std) ** 2, rel=4.5 * math.sqrt(2 / COUNT))
    assert float((x > 0.1).double().mean()) == pytest.approx(0.69, abs=0.02)
    assert 0.4 < sum(rates) / len(rates) < 0.99


def test_unadjusted_langevin_with_the_same_step_is_off_where_the_adjusted_one_is_not():
    x = last(langevin(lambda x: -x, torch.zeros(COUNT, 1).double(), step=0.8, steps=100, rng=Rng(2)))
    assert float(x.var()) == pytest.approx(1 / 0.6, rel=0.05)
    x, _ = last(metropolis_langevin(standard_normal, torch.zeros(COUNT, 1).double(), step=0.8, steps=100, rng=Rng(2)))
    assert float(x.var()) == pytest.approx(1, rel=4.5 * math.sqrt(2 / COUNT))


def test_a_row_of_a_langevin_chain_does_not_depend_on_the_others():
    x = Rng(0).normal(torch.empty(5, 2))
    whole = last(langevin(lambda x: -x, x, step=0.1, steps=10, rng=Rng(3)))
    part = last(langevin(lambda x: -x, x[2:4], step=0.1, steps=10, rng=Rng(3).at(2)))
    assert torch.equal(whole[2:4], part)


def standard_normal(x: torch.Tensor) -> torch.Tensor:
    return Normal(torch.zeros_like(x), 1.0).log_prob(x)


def ladder() -> tuple[Mixture, LogSnr]:
    """Two small, unequal, far modes under a geometric ladder."""
    schedule = Ve(sigma_min=0.01, sigma_max=10.0)
    denoiser = Mixture(
        Gaussian(schedule), torch.tensor([0.2, 0.8]), torch.tensor([[-4.0, -4.0], [4.0, 4.0]]), torch.tensor([0.3, 0.3])
    )
    return denoiser, LogSnr(sigma_min=0.02, cap=10.0)


def test_annealed_langevin_finds_the_modes_with_their_weights_and_one_level_does_not():
    denoiser, grid = ladder()
    count = 2_000
    x = sample(
        denoiser,
        (count, 2),
        sampler=AnnealedLangevin(level_steps=20, step_size=0.1, denoise=False),
        steps=40,
        grid=grid,
        rng=Rng(0),
    )
    share = float((x[:, 0] < 0).double().mean())
    assert abs(share - 0.2) < 4 * math.sqrt(0.2 * 0.8 / count)
    assert float((x - torch.where(x[:, :1] < 0, -4.0, 4.0)).std()) == pytest.approx(0.3, rel=0.08)
    # Langevin at the smallest level alone, started far away, keeps the share of its start
    alone = functools.partial(score, denoiser, t=grid.times(denoiser.process, 10)[-2])
    far = torch.full((500, 2), -6.0)
    stuck = last(langevin(alone, far, step=2e-3, steps=2000, rng=Rng(0)))
    assert float((stuck[:, 0] < 0).double().mean()) == 1.0


def test_the_step_size_of_ncsnv2_is_the_one_that_best_keeps_a_points_noise_at_its_level():
    def variance(size, ratio, steps):
        stationary = 2 * size / (1 - (1 - size) ** 2)
        return (1 - size) ** (2 * steps) * (ratio**2 - stationary) + stationary

    for ratio, steps in ((1.1, 5), (1.3, 10), (1.02, 3)):
        size = ncsnv2_step(ratio, steps)
        # simulated: `steps` Langevin steps on a point from noise of the last level
        noise = ratio * Rng(0).normal(torch.empty(COUNT, 1).double())
        after = last(langevin(lambda x: -x, noise, step=size, steps=steps, rng=Rng(1)))
        assert float(after.var()) == pytest.approx(variance(size, ratio, steps), rel=4.5 * math.sqrt(2 / COUNT))
        assert all(variance(size, ratio, steps) <= variance(other, ratio, steps) for other in (0.8 * size, 1.2 * size))


def test_the_ladder_of_ncsnv2_has_nearly_the_published_number_of_levels():
    """CIFAR-10: σ from 50 to 0.01 in 3,072 dimensions; 232 levels by the authors (2020, table 4), 219 here."""
    assert ncsnv2_levels(50.0, 0.01, 3072) == pytest.approx(232, rel=0.06)
