"""RePaint: it keeps the marginals, repeats what it says, and makes replacement better."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import GaussianData, Mixture
from reverie.guidance import Mask, Observation, RePaint, Replacement, linear_posterior
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ancestral, Ddim, Karras, sample, trajectory
from reverie.training.model import load
from reverie.training.restoring import restore

PROCESS = Gaussian(VpLinear())


def test_going_back_and_forth_keeps_the_marginal():
    data, rows = GaussianData(PROCESS, torch.tensor([0.4]).double(), torch.tensor([0.6]).double()), 40_000
    law = data.law(0.6)
    x = law.mean + law.std * Rng(0).normal(torch.empty(rows, 1, dtype=torch.float64))
    x, _ = RePaint(Ancestral(), repeats=4).step(data, x, 0.6, 0.3, state=None, rng=Rng(1))
    later = data.law(0.3)
    assert float(x.mean()) == pytest.approx(float(later.mean), abs=4.5 * float(later.std) / math.sqrt(rows))
    assert float(x.std()) == pytest.approx(float(later.std), rel=4.5 / math.sqrt(2 * rows))


def test_one_repeat_is_the_sampler_itself():
    data = GaussianData(PROCESS, torch.tensor([0.4]).double(), torch.tensor([0.6]).double())
    x = torch.linspace(-1, 1, 5).double()[:, None]
    once, _ = RePaint(Ddim(), repeats=1).step(data, x, 0.6, 0.3, state=None, rng=Rng(1))
    assert torch.equal(once, Ddim().step(data, x, 0.6, 0.3, state=None, rng=Rng(1))[0])
    with pytest.raises(ValueError, match="at least 1, not 0"):
        RePaint(Ddim(), repeats=0)


def test_only_steps_from_noise_levels_within_the_interval_are_repeated():
    """A step from σ/α in [low, high] asks the denoiser `repeats` times, any other once."""
    data = GaussianData(PROCESS, torch.tensor([0.4]).double(), torch.tensor([0.6]).double())
    asked: list[float] = []
    data.register_forward_pre_hook(lambda module, given: asked.append(float(given[1])))
    times = Karras().times(PROCESS, 12)
    *_, _ = trajectory(
        data, RePaint(Ancestral(), repeats=3, low=0.3, high=8.0), torch.ones(2, 1).double(), times, rng=Rng(2)
    )
    levels = {t: PROCESS.schedule.sigma(t) / PROCESS.schedule.alpha(t) for t in times[:-1]}
    within = [t for t, level in levels.items() if 0.3 <= level <= 8.0]
    assert 2 <= len(within) <= 6
    assert [asked.count(t) for t in levels] == [3 if t in within else 1 for t in levels]
    with pytest.raises(ValueError, match="0 <= low < high, not 2"):
        RePaint(Ancestral(), low=2.0, high=1.0)


def test_a_restoration_repeats_steps_within_its_noise_levels_alone(digits):
    model = load(digits)
    seen = Observation(Mask.half((1, 8, 8), "left"), torch.ones(1, 1, 8, 8))
    three, five, throughout = (
        restore(model, seen, count=2, method="projection", repeats=repeats, within=within).samples
        for repeats, within in ((3, (1e6, 2e6)), (5, (1e6, 2e6)), (3, (0.0, 1e6)))
    )
    assert torch.equal(three, five)  # no step begins there, so none is repeated
    assert not torch.equal(three, throughout)


def test_repeats_bring_replacement_nearer_to_the_posterior_where_seen_and_unseen_depend_on_one_another():
    """Two modes on the diagonal: the first element is seen and says which mode it is."""
    means = torch.tensor([[-0.8, -0.8], [0.8, 0.8]])
    data = Mixture(PROCESS, torch.tensor([0.5, 0.5]), means, torch.tensor([0.35, 0.35]))
    mask = Mask(torch.tensor([1, 0]), (2,))
    observation = Observation(mask, torch.tensor([[0.25, 0.0]]))
    nearly = Observation(mask, observation.y.double(), noise=1e-3)
    truth = float(linear_posterior(data.double(), nearly).mean[0, 1])
    guided = Replacement(data.float(), observation)
    errors = [
        abs(
            float(sample(guided, (4000, 2), sampler=RePaint(Ancestral(), repeats=n), steps=30, rng=Rng(0))[:, 1].mean())
            - truth
        )
        for n in (1, 10)
    ]
    assert errors[1] < 0.6 * errors[0]
