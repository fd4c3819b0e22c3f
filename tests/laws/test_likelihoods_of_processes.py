"""One code for every process: the bound and the work of discrete and blurring processes, held to exact numbers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from reverie.core.discrete import Categorical
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.denoisers import Denoiser, FiniteData, GaussianData
from reverie.likelihoods import Elbo, Importance
from reverie.processes import Absorbing, Binomial, Blur, DiscretizedGaussian, Gaussian, Process, Uniform, VpCosine

CHAINS = [Uniform(bins=3), Absorbing(bins=3), DiscretizedGaussian(bins=3), Binomial()]
every_chain = pytest.mark.parametrize("process", CHAINS, ids=lambda p: type(p).__name__)


def levels(bins: int, elements: int) -> Tensor:
    """All states of `elements` elements, (bins^elements, elements)."""
    grid = itertools.product(range(bins), repeat=elements)
    return 2 * torch.tensor(list(grid), dtype=torch.float64) / (bins - 1) - 1


def data(process: Process) -> tuple[FiniteData, Tensor, Tensor]:
    """An oracle of three examples of two elements, the examples and their probabilities."""
    every = levels(process.bins, 2)
    points, weights = every[[0, 1, len(every) - 1]], torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return FiniteData(process, points, weights), points, weights


@every_chain
def test_the_bound_of_discrete_data_falls_to_their_entropy(process: Process) -> None:
    """The gap is what elements told apart lose by being drawn apart, which goes as the steps shrink."""
    oracle, points, weights = data(process)
    x0 = points.repeat_interleave(400, 0)
    chance = weights.repeat_interleave(400) / 400
    entropy = -float((weights * weights.log()).sum())
    gaps = []
    for steps in (4, 16, 64):
        total = Elbo(steps=steps)(oracle, x0, rng=Rng(0)).total
        gaps.append(float((chance * total).sum()) - entropy)
        error = float((chance * total).std() * len(x0) ** 0.5)
        assert gaps[-1] > -4 * error
    assert gaps[2] < 0.5 * gaps[0] or gaps[2] < 4 * error


@every_chain
def test_the_evidence_of_all_discrete_data_sums_to_one(process: Process) -> None:
    """exp(−W) estimates the model's own probability of each state, whatever the model: together they are 1."""
    every = levels(process.bins, 2)
    oracle = FiniteData(process, every, torch.arange(1, len(every) + 1, dtype=torch.float64))
    x0 = every.repeat_interleave(1500, 0)
    weights = (-Importance(steps=5, particles=1).works(oracle, x0, rng=Rng(1))[0]).exp().unflatten(0, (len(every), -1))
    error = float((weights.var(1) / 1500).sum().sqrt())
    assert error < 0.05
    assert abs(float(weights.mean(1).sum()) - 1) < 4 * error


@every_chain
def test_examples_that_the_data_exclude_cost_a_number_and_sum_to_one_with_the_rest(process: Process) -> None:
    """The walk is held to three of all states: others are reached by elements that change at once, or never (∞)."""
    oracle, _, _ = data(process)
    every = levels(process.bins, 2)
    x0 = every.repeat_interleave(1500, 0)
    work = Importance(steps=3, particles=1).works(oracle, x0, rng=Rng(1))[0]
    weights = (-work).exp().unflatten(0, (len(every), -1))
    error = float((weights.var(1) / 1500).sum().sqrt())
    assert abs(float(weights.mean(1).sum()) - 1) < 4 * error < 0.2
    several = Importance(steps=3, particles=4)(oracle, x0, rng=Rng(2))
    assert not several.total.isnan().any()
    assert ((several.total < math.inf) == (several.details["effective"] >= 1 - 1e-9)).all()
    assert not Elbo(steps=3)(oracle, x0, rng=Rng(3)).total.isnan().any()


def test_a_path_that_cannot_be_walked_has_weight_0_in_the_bound_of_several() -> None:
    work = torch.tensor([[1.0, math.inf], [math.inf, math.inf]], dtype=torch.float64)

    class Told(Importance):
        def works(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
            return work

    bound = Told(particles=2)(Clueless(Uniform(bins=3)), torch.zeros(2, 1), rng=Rng(0))
    assert bound.total.tolist() == [pytest.approx(1 + math.log(2)), math.inf]
    assert bound.details["effective"].tolist() == [1.0, 0.0]


class Clueless(Denoiser):
    """It believes every level of every element equally likely."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process

    def forward(self, xt: Tensor, t: object) -> Categorical:
        data = torch.arange(self.process.states) < self.process.bins
        return Categorical((data.double() / self.process.bins).expand(*xt.shape, -1), self.process.bins)


@pytest.mark.parametrize("process", [Uniform(bins=256), Absorbing(bins=256)], ids=lambda p: type(p).__name__)
def test_a_clueless_model_of_bytes_costs_eight_bits(process: Process) -> None:
    x0 = 2 * torch.tensor([[0, 255, 3], [17, 99, 128]], dtype=torch.float64) / 255 - 1
    one = bits_per_dim(Elbo(steps=1)(Clueless(process), x0, rng=Rng(0)).total, 3)
    assert (one - 8).abs().max() < 1e-6


def test_a_blur_of_nothing_costs_what_the_gaussian_process_does() -> None:
    mean, std = torch.zeros(1, 4, 4, dtype=torch.float64), torch.full((1, 4, 4), 0.5, dtype=torch.float64)
    plain = GaussianData(Gaussian(VpCosine()), mean, std)
    x0 = 0.5 * Rng(0).normal(torch.empty(500, 1, 4, 4, dtype=torch.float64))
    blurred = GaussianData(Gaussian(VpCosine()), mean, std)
    blurred.process = Blur(VpCosine(), blur=0.0)  # type: ignore[assignment]
    one, other = (Elbo(steps=10)(d, x0, rng=Rng(1)) for d in (plain, blurred))
    for name in one.terms:
        difference = one.terms[name] - other.terms[name]
        assert abs(difference.mean()) < 4 * difference.std() / 500**0.5 + 1e-9, name


def test_a_mutant_that_prices_bits_as_nats_is_rejected() -> None:
    cost = float(Elbo(steps=1)(Clueless(Uniform(bins=256)), torch.ones(1, 3), rng=Rng(0)).total)
    assert abs(cost / 3 / math.log(2) - 8) < 1e-6 < abs(cost / 3 - 8)
