"""Particles: weights that estimate the evidence without bias, samples of the true posterior, resampling, one by one."""

import math

import pytest
import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import GaussianData, Mixture
from reverie.guidance import (
    Dps,
    Mask,
    Matrix,
    MomentMatching,
    Observation,
    Particles,
    PiGdm,
    Potential,
    Replacement,
    effective,
    linear_posterior,
    systematic,
)
from reverie.metrics import energy_distance
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Karras
from reverie.training.smc import smc

PROCESS = Gaussian(VpLinear())
MEANS = torch.tensor([[-0.9, 0.3], [0.8, 0.6], [0.2, -0.9]]).double()
SENSOR = Matrix(torch.tensor([[0.8, 0.6]]).double(), (2,))
SEEN = Observation(SENSOR, torch.tensor([[0.3]]).double(), noise=0.2)


def one_gaussian() -> GaussianData:
    return GaussianData(PROCESS, torch.tensor([0.4, -0.3]).double(), torch.tensor([0.6, 0.9]).double())


def mixture() -> Mixture:
    stds = torch.tensor([0.25, 0.3, 0.2]).double()
    return Mixture(PROCESS, torch.tensor([0.3, 0.3, 0.4]).double(), MEANS, stds)


def exact_start(data: GaussianData, rows: int, rng: Rng) -> Tensor:
    """x_1 ~ p_1, which the process's prior is only nearly."""
    law = data.law(1.0)
    return law.mean + law.std * rng.normal(torch.empty(rows, 2, dtype=torch.float64))


@pytest.mark.parametrize("method", [PiGdm, MomentMatching, Dps])
def test_the_evidence_is_unbiased(method):
    """200 runs of 8 particles in 6 steps, with a Gaussian law whose ancestral steps are exact."""
    data, runs, count = one_gaussian(), 200, 8
    one = torch.ones(1).double()
    exact = linear_posterior(Mixture(PROCESS, one, data.mean[None], data.std[None]), SEEN).log_evidence
    guided = method(data, SEEN)
    start = exact_start(data, runs * count, Rng(1))
    times = Karras(sigma_min=0.05).times(PROCESS, 6)
    outcome = smc(guided, (runs, 2), times=times, rng=Rng(2), particles=Particles(count), x1=start)
    ratio = torch.exp(outcome.log_evidence - exact)
    error = float(ratio.std()) / math.sqrt(runs)
    assert abs(float(ratio.mean()) - 1) < 4 * error
    assert error < 0.3
    assert float(outcome.resampled.mean()) > 0.2


def test_weights_that_forget_the_proposal_are_biased(monkeypatch):
    """A mutant: particles weighed as if the inner denoiser had proposed them."""
    data, runs, count = one_gaussian(), 200, 8
    one = torch.ones(1).double()
    exact = linear_posterior(Mixture(PROCESS, one, data.mean[None], data.std[None]), SEEN).log_evidence
    monkeypatch.setattr("reverie.guidance.particles.log_ratio", lambda own, proposal, xs: torch.zeros(len(xs)).to(xs))
    outcome = smc(
        PiGdm(data, SEEN),
        (runs, 2),
        times=Karras(sigma_min=0.05).times(PROCESS, 6),
        rng=Rng(2),
        particles=Particles(count),
        x1=exact_start(data, runs * count, Rng(1)),
    )
    ratio = torch.exp(outcome.log_evidence - exact)
    assert abs(float(ratio.mean()) - 1) > 4 * float(ratio.std()) / math.sqrt(runs)


def test_particles_converge_to_the_posterior_of_a_mixture():
    """4,000 particles against the truth: components' shares and means within their noise and the steps' bias."""
    data = mixture()
    truth = linear_posterior(data, SEEN)
    outcome = smc(
        MomentMatching(data, SEEN), (1, 2), times=Karras(sigma_min=0.02).times(PROCESS, 60), rng=Rng(0),
        particles=Particles(4000), x1=Rng(5).normal(torch.empty(4000, 2, dtype=torch.float64)),
    )  # fmt: skip
    x, weights = outcome.x[0], outcome.log_weights[0].exp()
    size = float(effective(outcome.log_weights))
    assert size > 1000
    share = torch.stack([weights[(torch.cdist(x, MEANS).argmin(1) == k)].sum() for k in range(3)])
    drawn = truth.sample(200_000, Rng(1))[0]
    wanted = torch.bincount(torch.cdist(drawn, MEANS).argmin(1), minlength=3) / len(drawn)
    assert torch.allclose(share, wanted.double(), rtol=0, atol=4 * 0.5 / math.sqrt(size) + 0.02)
    assert torch.allclose(outcome.mean, truth.mean, rtol=0, atol=4 * float(drawn.std(0).max()) / math.sqrt(size) + 0.02)
    assert float(outcome.log_evidence) == pytest.approx(float(truth.log_evidence), abs=0.15)


def test_the_reward_may_be_any_function():
    """r(x) = exp(−x²/2): N(0.4, 0.36) becomes N(0.4/1.36, 0.36/1.36) in each element."""
    data, count = one_gaussian(), 4000
    guided = Potential(data, lambda x: -0.5 * (x**2).sum(1))
    outcome = smc(
        guided, (1, 2), times=Karras(sigma_min=0.05).times(PROCESS, 20), rng=Rng(3),
        particles=Particles(count), x1=exact_start(data, count, Rng(4)),
    )  # fmt: skip
    variance = data.std**2
    precision = 1 + variance
    size = float(effective(outcome.log_weights))
    noise = 4 / math.sqrt(size)
    assert torch.allclose(outcome.mean[0], data.mean / precision, rtol=0, atol=noise)
    drawn = outcome.draw(Rng(0))[0]
    assert torch.allclose(drawn.std(0), (variance / precision).sqrt(), rtol=noise)
    log_z = float((-0.5 * data.mean**2 / precision - 0.5 * precision.log()).sum())
    assert float(outcome.log_evidence) == pytest.approx(log_z, abs=noise)


def test_at_scale_zero_every_weight_is_one():
    outcome = smc(PiGdm(mixture(), SEEN, scale=0.0), (2, 2), times=[1.0, 0.5, 0.0], rng=Rng(0), particles=Particles(4))
    assert torch.equal(outcome.log_evidence, torch.zeros(2).double())
    assert torch.equal(outcome.sizes, torch.full((2, 2), 4.0).double())


def test_a_problem_does_not_depend_on_its_neighbours():
    guided, times = PiGdm(mixture(), SEEN), [1.0, 0.6, 0.3, 0.1, 0.0]
    options = {"times": times, "rng": Rng(0), "particles": Particles(16)}
    many, alone = smc(guided, (3, 2), **options), smc(guided, (1, 2), **options)
    assert torch.allclose(many.x[:1], alone.x, rtol=0, atol=1e-6)
    assert torch.allclose(many.log_evidence[:1], alone.log_evidence, rtol=0, atol=1e-6)


def test_systematic_resampling_draws_each_particle_its_share_rounded():
    weights = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.25, 0.25, 0.25, 0.25]]).double()
    u = (torch.arange(2000).double() + 0.5) / 2000
    for row in weights:
        counts = torch.stack([(systematic(row.log()[None].expand(2000, -1), u) == k).sum(1) for k in range(4)], 1)
        low, high = (4 * row - 1e-9).floor(), (4 * row + 1e-9).ceil()
        assert bool(((counts >= low) & (counts <= high)).all())
        assert torch.allclose(counts.double().mean(0), 4 * row, atol=2e-3)
    assert effective(weights.log()).tolist() == pytest.approx([1 / float((weights[0] ** 2).sum()), 4.0])


def test_what_cannot_be_weighed_is_refused():
    observation = Observation(Mask(torch.tensor([1, 0]), (2,)), torch.zeros(1, 2).double())
    with pytest.raises(ValueError, match="a guidance with a twist, not Replacement"):
        smc(Replacement(mixture(), observation), (1, 2), times=[1.0, 0.0], rng=Rng(0))
    with pytest.raises(ValueError, match=r"the times end at 0\.5"):
        smc(PiGdm(mixture(), SEEN), (1, 2), times=[1.0, 0.5], rng=Rng(0))
    with pytest.raises(ValueError, match="no density"):
        smc(PiGdm(mixture(), observation), (1, 2), times=[1.0, 0.0], rng=Rng(0))
    with pytest.raises(ValueError, match="threshold in"):
        Particles(8, threshold=2.0)
    with pytest.raises(ValueError, match="no multiple of 8"):
        Particles(8).init(PiGdm(mixture(), SEEN), torch.zeros(9, 2).double())


@pytest.mark.slow
@pytest.mark.parametrize(("dims", "steps"), [(2, 100), (16, 200)])
def test_ten_thousand_particles_are_as_near_to_the_posterior_as_exact_draws(dims, steps):
    """Their energy distance to exact draws against that between exact draws, whose spread falls as 1/n."""
    count, small = 10_000, 1000
    means = 0.6 * Rng(0).fork("means").normal(torch.empty(4, dims, dtype=torch.float64))
    stds = 0.2 + 0.4 * Rng(0).fork("stds").uniform(4, dims)
    data = Mixture(PROCESS, torch.tensor([0.4, 0.3, 0.2, 0.1]).double(), means, stds)
    seen = Matrix.random(0.5, (dims,), seed=3)
    observation = Observation(seen, seen.apply(means[:1]), noise=0.2)
    truth = linear_posterior(data, observation)
    outcome = smc(
        MomentMatching(data, observation, iterations=10), (1, dims), rng=Rng(6), particles=Particles(count),
        times=Karras(sigma_min=0.01).times(PROCESS, steps), x1=Rng(5).normal(torch.empty(count, dims).double()),
    )  # fmt: skip
    pairs = [truth.sample(2 * small, Rng(20 + i))[0] for i in range(20)]
    noise = torch.tensor([energy_distance(p[:small], p[small:]) for p in pairs]).std() * small / count
    drawn, exact = outcome.draw(Rng(7))[0], truth.sample(count, Rng(3))[0]
    assert energy_distance(drawn, exact) < 4 * noise
    moved = drawn + 0.05 * drawn.std(0)
    assert energy_distance(moved, exact) > 4 * noise
