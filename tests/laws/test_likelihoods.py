"""The laws of the variational bound, on oracles that know the truth."""

from __future__ import annotations

import math

import pytest
import torch
from likelihood_oracles import DIMENSIONS, Oracle, a_gaussian, a_mixture, draw

from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.denoisers import GaussianData
from reverie.denoisers.terms import prior_term
from reverie.likelihoods import Elbo
from reverie.likelihoods.elbo import proposal
from reverie.processes import Gaussian, LinearBeta, VpLinear


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_elbo_of_an_exact_gaussian_is_the_truth(dimensions: int) -> None:
    """With the exact spread the reverse chain is the data's own, and nothing is lost at any T."""
    oracle = a_gaussian(dimensions)
    x0 = draw(oracle, 64)
    bound = Elbo(steps=20, draws=8)(oracle, x0, rng=Rng(1))
    gap = (oracle.law().log_prob(x0) - bound.log_prob).mean()
    error = bound.error.square().sum().sqrt() / len(x0)
    assert abs(gap) < 4 * error


def test_the_errors_a_bound_states_are_those_it_makes() -> None:
    """Over examples, (bound − truth)/error has a standard deviation near 1 or a little below."""
    oracle = a_gaussian(8)
    x0 = draw(oracle, 4000)
    bound = Elbo(steps=12, draws=16)(oracle, x0, rng=Rng(3))
    z = (bound.log_prob - oracle.law().log_prob(x0)) / bound.error
    assert 0.6 < z.std() < 1.15


@pytest.mark.parametrize("kind", [a_gaussian, a_mixture])
@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_gap_of_the_bound_shrinks_as_one_over_the_steps(kind: Oracle, dimensions: int) -> None:
    """With the fixed variance β. The bound with the exact spread, on the same noise, is the truth to order 1/T²."""
    oracle = kind(dimensions)
    x0 = draw(oracle, 1000)
    gaps = []
    for steps in (32, 64, 128):
        exact, fixed = (Elbo(steps=steps, draws=2, v=v)(oracle, x0, rng=Rng(5)).total for v in (None, 1.0))
        gaps.append(float((fixed - exact).mean()))
    assert min(gaps) > 0
    slope = math.log(gaps[-1] / gaps[0]) / math.log(4)
    assert abs(slope + 1) < 0.2, (slope, gaps)


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_bound_of_a_mixture_is_below_the_truth(dimensions: int) -> None:
    oracle = a_mixture(dimensions)
    x0 = draw(oracle, 32_000 // dimensions)
    truth = oracle.law().log_prob(x0)
    fixed = truth - Elbo(steps=4, v=1.0)(oracle, x0, rng=Rng(5)).log_prob
    spread = truth - Elbo(steps=64)(oracle, x0, rng=Rng(5)).log_prob
    assert fixed.mean() > 4 * fixed.std() / len(x0) ** 0.5
    assert abs(spread.mean()) < 4 * spread.std() / len(x0) ** 0.5


@pytest.mark.parametrize("terms", [2, 7, 20, 60])
def test_a_sample_of_terms_estimates_all_of_them(terms: int) -> None:
    oracle = a_mixture(8, VpLinear())
    x0 = draw(oracle, 1500)
    every = Elbo(steps=100, v=1.0).denoising(oracle, x0, rng=Rng(1)).nats.sum(1)
    some = Elbo(steps=100, v=1.0, terms=terms).denoising(oracle, x0, rng=Rng(2)).nats.sum(1)
    difference = some - every
    assert abs(difference.mean()) < 4 * difference.std() / len(x0) ** 0.5


@pytest.mark.parametrize("terms", [6, 15, 60])
def test_the_stated_error_of_sampled_terms_is_the_error_made(terms: int) -> None:
    """Over seeds the spread of the estimate is what neighbouring strata state, or less where strata are wide."""
    oracle = a_mixture(8, VpLinear())
    x0 = draw(oracle, 20).repeat_interleave(200, 0)
    bound = Elbo(steps=100, terms=terms, draws=8)(oracle, x0, rng=Rng(4))
    made = bound.total.unflatten(0, (20, 200)).var(1).mean().sqrt()
    stated = bound.error.unflatten(0, (20, 200)).square().mean().sqrt()
    assert 0.9 < stated / made < 2.0, (stated, made)


def test_a_mutant_that_forgets_the_proposal_is_rejected() -> None:
    """Terms drawn where they are large but weighted as if drawn evenly: the comparison above must see it."""
    oracle = a_mixture(8, VpLinear())
    x0 = draw(oracle, 1500)
    likelihood = Elbo(steps=100, v=1.0, terms=20)
    every = Elbo(steps=100, v=1.0).denoising(oracle, x0, rng=Rng(1)).nats.sum(1)
    curve = likelihood.denoising(oracle, x0, rng=Rng(2))
    law = proposal(oracle.process, 100)
    weight = 1 / (20 * law[(curve.t * 100).round().long() - 2])
    difference = (curve.nats / weight * 99 / 20).sum(1) - every
    assert abs(difference.mean()) > 8 * difference.std() / len(x0) ** 0.5


def test_the_prior_term_of_the_linear_table_is_as_published() -> None:
    """L_T ≈ 1e-5 bits per dimension for images in [−1, 1] under T = 1000, β from 1e-4 to 0.02 (Ho et al. 2020)."""
    process = Gaussian(LinearBeta())
    x0 = 2 * Rng(0).uniform(16, 3, 32, 32) - 1
    oracle = GaussianData(
        process, torch.zeros(3, 32, 32, dtype=torch.float64), torch.ones(3, 32, 32, dtype=torch.float64)
    )
    bits = bits_per_dim(prior_term(oracle, x0), 3072)
    abar = process.schedule.alpha(1.0) ** 2
    closed = 0.5 * (abar * x0.square().flatten(1).mean(1) - abar - math.log1p(-abar)) / math.log(2)
    assert torch.allclose(bits, closed, rtol=1e-9)
    assert 0.5e-5 < bits.mean() < 2e-5
