"""The laws of the methods that give the number itself: the ODE, work and free energy, and all four side by side."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from likelihood_oracles import DIMENSIONS, Oracle, a_gaussian, a_mixture, draw
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, GaussianData
from reverie.denoisers.terms import density_term
from reverie.denoisers.uniform import UniformData
from reverie.explain.jarzynski import chain_law
from reverie.likelihoods import (
    Adaptive,
    Dequantised,
    Elbo,
    Exact,
    Hutchinson,
    Importance,
    Ode,
    RungeKutta,
    Vlb,
    evaluate,
    learn_knots,
)
from reverie.likelihoods.importance import effective_number, free_energy
from reverie.processes import Edm, Flow, Gaussian, Knots, LinearBeta, Schedule, SubVp, Ve, VpCosine, VpLinear


@pytest.mark.parametrize("kind", [a_gaussian, a_mixture])
@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_ode_is_within_1e_5_nats_of_the_truth(kind: Oracle, dimensions: int) -> None:
    """At 100 Runge–Kutta steps (measured: 3e-7 nats at 64 dimensions), and at tolerance 1e-8 by steps of its own."""
    oracle = kind(dimensions, VpCosine())  # no signal at the end: the prior is exact
    x0 = draw(oracle, 4)
    truth = oracle.law().log_prob(x0)
    for solver in (RungeKutta(steps=100), Adaptive(tolerance=1e-8)):
        bound = Ode(solver=solver)(oracle, x0, rng=Rng(0))
        assert (bound.log_prob - truth).abs().max() < 1e-5
        assert bound.error.max() == 0


@pytest.mark.parametrize(
    "schedule", [Flow(), VpLinear(), LinearBeta(), Ve(), SubVp(), Edm()], ids=lambda s: type(s).__name__
)
def test_the_ode_is_exact_on_every_schedule_but_for_the_prior(schedule: Schedule) -> None:
    """With the true law of x_1 in the prior's place; and what the prior gets wrong is what the report allows for."""
    oracle = a_mixture(2, schedule)
    x0 = draw(oracle, 4)
    likelihood = Ode(solver=Adaptive(tolerance=1e-7))
    end, volume, _ = likelihood.transport(oracle, x0, rng=Rng(0))
    scale = math.hypot(schedule.alpha(1.0), schedule.sigma(1.0))
    found = oracle.law(1.0).log_prob(end * scale) + 2 * math.log(scale) + volume.mean(1)
    truth = oracle.law().log_prob(x0)
    assert (found - truth).abs().max() < 1e-5
    bound = likelihood(oracle, x0, rng=Rng(0))
    wrong = (bound.log_prob - truth).abs().max()
    allowed = bound.details["prior_mismatch"].max()
    assert wrong < 1e-5 + 8 * allowed.sqrt()


def test_runge_kutta_converges_at_fourth_order() -> None:
    oracle = a_mixture(2)
    x0 = draw(oracle, 8)
    truth = oracle.law().log_prob(x0)
    errors = [
        float((Ode(solver=RungeKutta(steps=n))(oracle, x0, rng=Rng(0)).log_prob - truth).abs().mean())
        for n in (10, 20, 40)
    ]
    slope = math.log2(errors[0] / errors[2]) / 2
    assert abs(slope - 4) < 0.5, errors


@pytest.mark.parametrize("normal", [False, True])
def test_hutchinson_is_unbiased_and_states_its_error(normal: bool) -> None:
    oracle = a_mixture(8)
    x0 = draw(oracle, 3).repeat_interleave(100, 0)
    solver = RungeKutta(steps=25)
    truth = Ode(solver=solver)(oracle, x0[::100], rng=Rng(0)).total
    bound = Ode(divergence=Hutchinson(probes=8, normal=normal), solver=solver)(oracle, x0, rng=Rng(1))
    found = bound.total.unflatten(0, (3, 100))
    stated = bound.error.unflatten(0, (3, 100)).square().mean(1).sqrt()
    assert ((found.mean(1) - truth).abs() < 4.9 * stated / 10).all()
    assert ((found.std(1) / stated - 1).abs() < 0.35).all()


def test_a_mutant_that_forgets_the_change_of_scale_is_rejected() -> None:
    """A divergence taken in x instead of y = x/√(α² + σ²) is wrong by far more than 1e-5 where the scale moves."""

    class Unscaled(Exact):
        def gather(self, quadratic: Tensor) -> Tensor:
            return super().gather(quadratic) * 0.999

    oracle = a_gaussian(2)
    x0 = draw(oracle, 4)
    wrong = Ode(divergence=Unscaled(), solver=RungeKutta(steps=50))(oracle, x0, rng=Rng(0)).log_prob
    assert (wrong - oracle.law().log_prob(x0)).abs().min() > 1e-4


@pytest.mark.parametrize(("dimensions", "steps"), [(2, 10), (8, 20), (64, 60)])
def test_work_averages_to_the_evidence(dimensions: int, steps: int) -> None:
    """E[exp(−W)] = p(x_0) within 4 standard errors; p is the law of the chain with its T steps."""
    oracle = narrow(dimensions)
    x0 = draw(oracle, 1).expand(4000, dimensions)
    evidence = chain_law(oracle, steps, v=1.0).log_prob(x0[:1])
    weights = (-Importance(steps=steps, particles=1, v=1.0).works(oracle, x0, rng=Rng(2))[0] - evidence).exp()
    error = weights.std() / len(weights) ** 0.5
    assert 0 < error < 0.1
    assert abs(weights.mean() - 1) < 4 * error
    # the data's own law is another number, which this many paths tell apart in few dimensions
    if dimensions == 2:
        assert abs(weights.mean() - (oracle.law().log_prob(x0[:1]) - evidence).exp()) > 4 * error


def narrow(dimensions: int) -> GaussianData:
    std = torch.linspace(0.3, 0.9, dimensions, dtype=torch.float64)
    return GaussianData(Gaussian(VpCosine()), torch.linspace(-0.5, 0.5, dimensions, dtype=torch.float64), std)


def test_the_law_of_a_chain_becomes_the_data_s_own() -> None:
    oracle = narrow(2)
    gaps = [float(oracle.law().kl(chain_law(oracle, steps, v=1.0))) for steps in (20, 40, 80, 160)]
    assert all(0 < b < a for a, b in itertools.pairwise(gaps)), gaps


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_reversible_process_does_the_same_work_on_every_path(dimensions: int) -> None:
    """With the exact reverse nothing is dissipated: W = −log p(x_0) on each trajectory, to rounding."""
    oracle = a_gaussian(dimensions)
    x0 = draw(oracle, 20)
    bound = Importance(steps=12, particles=3)(oracle, x0, rng=Rng(2))
    assert (bound.log_prob - oracle.law().log_prob(x0)).abs().max() < 1e-9
    assert (bound.details["effective"] - 3).abs().max() < 1e-9


def test_a_mutant_that_forgets_a_tenth_of_the_prior_term_is_rejected() -> None:
    oracle = narrow(2)
    x0 = draw(oracle, 1).expand(4000, 2)
    work = Importance(steps=10, particles=1, v=1.0).works(oracle, x0, rng=Rng(2))[0]
    end = oracle.process.marginal(x0, 1.0)
    mutant = work + end.log_prob(end.sample(Rng(2).fork("particle", 0).fork("end"))) * 0.1
    weights = (-mutant - chain_law(oracle, 10, v=1.0).log_prob(x0[:1])).exp()
    assert abs(weights.mean() - 1) > 8 * weights.std() / len(weights) ** 0.5


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_bound_tightens_with_every_doubling_of_trajectories(dimensions: int) -> None:
    oracle = a_mixture(dimensions)
    x0 = draw(oracle, 40)
    work = Importance(steps=20, particles=64, v=1.0).works(oracle, x0, rng=Rng(3))
    means = [
        free_energy(work.unflatten(0, (-1, k)).transpose(0, 1).flatten(1)).mean() for k in (1, 2, 4, 8, 16, 32, 64)
    ]
    assert all(a > b for a, b in itertools.pairwise(means)), means
    truth = -oracle.law().log_prob(x0)
    single, many = work[0] - truth, free_energy(work) - truth
    assert single.mean() > many.mean() > -4 * many.std() / len(x0) ** 0.5
    effective = effective_number(work)
    assert (effective >= 1).all()
    assert (effective <= 64).all()


def test_the_mean_work_is_the_variational_bound() -> None:
    oracle = a_mixture(2)
    x0 = draw(oracle, 2000)
    bound = Importance(steps=12, particles=4, v=1.0)(oracle, x0, rng=Rng(4))
    elbo = Elbo(steps=12, draws=4, v=1.0)(oracle, x0, rng=Rng(5))
    difference = bound.terms["work"] - elbo.total
    assert abs(difference.mean()) < 4 * difference.std() / len(x0) ** 0.5


def four_methods() -> dict[str, object]:
    return {
        "elbo": Elbo(steps=200, draws=4),
        "vlb": Vlb(terms=200, draws=4, first=12.0),
        "ode": Ode(solver=RungeKutta(steps=60)),
        "importance": Importance(steps=40, particles=16),
    }


@pytest.mark.parametrize("kind", [a_gaussian, a_mixture])
@pytest.mark.parametrize("dimensions", DIMENSIONS)
@pytest.mark.parametrize("method", sorted(four_methods()))
def test_all_four_intervals_cover_the_truth(kind: Oracle, dimensions: int, method: str) -> None:
    """Each example's own interval of 4 standard errors, and that of the mean over examples, from both sides."""
    oracle = kind(dimensions)
    x0 = draw(oracle, 60)
    truth = oracle.law().log_prob(x0)
    bound = four_methods()[method](oracle, x0, rng=Rng(6))
    low, high = bound.interval(sigmas=4)
    assert ((low < truth) & (truth < high)).float().mean() > 0.95
    difference = bound.log_prob - truth
    assert abs(difference.mean()) < 4 * difference.std() / len(x0) ** 0.5 + 1e-5


def test_the_continuous_bound_does_not_depend_on_the_schedule() -> None:
    """Only on the log SNR at its ends; here all end below −10, where nothing is left to pay."""
    results = []
    for schedule in (VpCosine(), Flow(), VpLinear(0.1, 25.0)):
        oracle = a_mixture(8, schedule)
        bound = Vlb(terms=40, draws=2, first=10.0)(oracle, draw(oracle, 400), rng=Rng(8))
        results.append(bound.total.mean())
    error = bound.error.square().sum().sqrt() / 400
    assert max(results) - min(results) < 6 * error


def test_learned_knots_have_the_least_variance() -> None:
    """Less than uniform in λ, and the same mean."""
    oracle = a_mixture(8, VpLinear())
    x0 = draw(oracle, 3000)
    uniform = Vlb(terms=2, draws=1)
    learned = replace(uniform, knots=learn_knots(oracle, x0[:500], rng=Rng(0)))
    one, other = (v.integral(oracle, x0, rng=Rng(9)).nats for v in (uniform, learned))
    difference = one.sum(1) - other.sum(1)
    assert abs(difference.mean()) < 4 * difference.std() / len(x0) ** 0.5
    assert other.sum(1).var() < 0.8 * one.sum(1).var()


def test_a_schedule_of_learned_knots_leaves_the_bound_alone_and_lowers_its_variance() -> None:
    """VDM's statement, for times uniform on [1/100, 1] of the schedule itself."""
    oracle = a_mixture(8, Knots((13.3, -13.3)))
    x0 = draw(oracle, 3000)
    learned = learn_knots(oracle, x0[:500], rng=Rng(0))
    totals = []
    for schedule in (Knots((13.3, -13.3)), Knots(learned)):
        other = a_mixture(8, schedule)
        u = Rng(3).uniform(len(x0))
        t = 0.01 + 0.99 * u
        h = 1e-7
        fall = -(schedule.log_snr(t + h / 2) - schedule.log_snr(t - h / 2)) / h * 0.99
        xt = other.process.marginal(x0, t).sample(Rng(4))
        totals.append(density_term(other, x0, xt, t) * fall)
    error = (sum(total.var() for total in totals) / len(x0)) ** 0.5
    assert abs(totals[0].mean() - totals[1].mean()) < 4 * error
    assert totals[1].var() < 0.8 * totals[0].var()


@pytest.mark.parametrize("name", ["elbo", "ode"])
def test_a_uniform_model_of_bytes_costs_eight_bits(name: str) -> None:
    """To 1e-6 bits: by the bound (one step from no signal: nothing is lost) and by the dequantised ODE."""
    edge = 256 / 255
    oracle = UniformData(Gaussian(VpCosine()), low=-edge, high=edge)
    x0 = torch.tensor([[0, 255, 17, 128], [255, 255, 0, 1]], dtype=torch.float64) * 2 / 255 - 1
    inner = {"elbo": Elbo(steps=1), "ode": Ode(solver=Adaptive(tolerance=1e-9))}[name]
    bits = Dequantised(inner, draws=1)(oracle, x0, rng=Rng(0)).bits_per_dim()
    assert (bits - 8).abs().max() < 1e-6, bits


def test_dequantisation_is_a_bound_and_tightens() -> None:
    """On levels of a normal density so narrow that its shape within a bin matters."""
    oracle = GaussianData(
        Gaussian(VpCosine()), torch.zeros(1, dtype=torch.float64), torch.full((1,), 0.08, dtype=torch.float64)
    )
    x0 = torch.zeros(2000, 1, dtype=torch.float64)  # a level when there are 17
    law = torch.distributions.Normal(0.0, 0.08)
    truth = math.log(law.cdf(torch.tensor(1 / 16)) - law.cdf(torch.tensor(-1 / 16)))
    costs = {}
    for tight in (False, True):
        bound = Dequantised(Elbo(steps=4, draws=4), bins=17, draws=8, tight=tight)(oracle, x0, rng=Rng(0))
        costs[tight] = bound.total
    assert costs[False].mean() > -truth + 4 * costs[False].std() / 2000**0.5
    assert costs[True].mean() < costs[False].mean()


def test_an_example_costs_the_same_alone_and_in_a_batch() -> None:
    oracle = a_mixture(2)
    x0 = draw(oracle, 9)
    for likelihood in (
        Elbo(steps=8),
        Elbo(steps=50, terms=6),
        Vlb(terms=8),
        Importance(steps=5, particles=3),
        Ode(divergence=Hutchinson(probes=3)),
        Dequantised(Ode(solver=RungeKutta(steps=5)), bins=17),
    ):
        whole = evaluate(likelihood, oracle, x0, rng=Rng(7), chunk=9).total
        parts = evaluate(likelihood, oracle, x0, rng=Rng(7), chunk=2).total
        assert torch.allclose(whole, parts, rtol=1e-12), likelihood


@pytest.mark.parametrize(
    "refused",
    [
        lambda: Elbo(steps=0),
        lambda: Elbo(terms=1),
        lambda: Elbo(v=1.5),
        lambda: Vlb(knots=(1.0, 2.0)),
        lambda: Importance(particles=0),
        lambda: Hutchinson(probes=0),
        lambda: RungeKutta(steps=0),
        lambda: Adaptive(tolerance=0.0),
        lambda: Dequantised(Elbo(), bins=1),
        lambda: UniformData(Gaussian(VpCosine()), low=1.0, high=1.0),
    ],
)
def test_impossible_options_are_refused(refused: object) -> None:
    with pytest.raises(ValueError, match=r"must|needs|least"):
        refused()


def test_an_ode_that_cannot_reach_its_tolerance_says_so() -> None:
    oracle: Denoiser = a_mixture(2)
    with pytest.raises(ArithmeticError, match="tolerance"):
        Ode(solver=Adaptive(tolerance=1e-8, max_steps=5))(oracle, torch.zeros(1, 2, dtype=torch.float64), rng=Rng(0))
