"""Distributions over levels: sums, moments, divergences and draws against brute force."""

import math

import pytest
import torch

from reverie.core.discrete import Bernoulli, Categorical, level, state
from reverie.core.distributions import Normal
from reverie.core.rng import Rng

ROWS = 40_000


def law(seed, *shape, bins=None):
    return Categorical.of_logits(Rng(seed).normal(torch.zeros(*shape, dtype=torch.float64)), bins or shape[-1])


@pytest.mark.parametrize("bins", [2, 17, 256, 50_000])
def test_every_state_is_found_again_from_its_level_in_single_precision(bins):
    index = torch.arange(bins + 1)
    assert torch.equal(state(level(index, bins, torch.empty(0)), bins), index)


def test_probabilities_of_all_values_sum_to_one():
    p = law(0, 1, 2, 3)
    values = level(torch.cartesian_prod(torch.arange(3), torch.arange(3)), 3, p.probs)
    assert float(Categorical(p.probs.expand(9, 2, 3), 3).log_prob(values).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_divergence_is_the_mean_log_ratio_over_all_values():
    p, q = law(1, 1, 2, 3), law(2, 1, 2, 3)
    values = level(torch.cartesian_prod(torch.arange(3), torch.arange(3)), 3, p.probs)
    logs = [Categorical(d.probs.expand(9, 2, 3), 3).log_prob(values) for d in (p, q)]
    assert float(p.kl(q)) == pytest.approx(float((logs[0].exp() * (logs[0] - logs[1])).sum()), abs=1e-12)
    assert float(p.kl(p)) == 0


def test_impossible_states_cost_nothing_where_they_are_impossible_and_everything_elsewhere():
    sure = Categorical(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64), 2)
    open_ = Categorical(torch.tensor([[[0.5, 0.5]]], dtype=torch.float64), 2)
    assert float(sure.kl(open_)) == pytest.approx(math.log(2))
    assert float(open_.kl(sure)) == math.inf


def test_gradients_are_finite_beside_impossible_states():
    logits = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
    masked = logits.masked_fill(torch.tensor([False, False, True]), -math.inf)
    q = Categorical.of_logits(masked, 2)
    p = Categorical(torch.tensor([[[0.7, 0.3, 0.0]]], dtype=torch.float64), 2)
    (p.kl(q) + p.kl(Categorical(q.probs, 2)) - q.log_prob(torch.ones(1, 1))).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_draws_have_the_stated_frequencies_and_never_the_impossible():
    p = Categorical(torch.tensor([0.0, 0.2, 0.5, 0.3, 0.0], dtype=torch.float32).expand(ROWS, 1, 5), 4)
    counts = torch.bincount(state(p.sample(Rng(3)), 4).flatten(), minlength=5)
    assert counts[0] == counts[4] == 0
    for k, share in ((1, 0.2), (2, 0.5), (3, 0.3)):
        assert abs(float(counts[k]) / ROWS - share) < 5 * math.sqrt(share * (1 - share) / ROWS)


def test_moments_are_those_of_the_level():
    p = law(4, 1, 1, 5)
    x = p.levels()
    assert float(p.mean) == pytest.approx(float((p.probs * x).sum()), abs=1e-15)
    assert float(p.std) ** 2 == pytest.approx(float((p.probs * (x - p.mean) ** 2).sum()), abs=1e-12)


def test_a_bernoulli_is_exact_in_both_tails():
    p = Bernoulli(torch.tensor([[50.0, -50.0]], dtype=torch.float64))
    assert float(p.log_prob(torch.tensor([[-1.0, 1.0]]))) == pytest.approx(-100, rel=1e-12)
    assert float(p.log_prob(torch.tensor([[1.0, -1.0]]))) == pytest.approx(-2 * math.exp(-50), rel=1e-12)


def test_families_do_not_mix():
    with pytest.raises(NotImplementedError, match="no closed form"):
        law(5, 1, 2, 3).kl(Normal(torch.zeros(1, 2)))
    with pytest.raises(ValueError, match="not 1"):
        Categorical(torch.ones(1, 2, 3) / 3, 1)
