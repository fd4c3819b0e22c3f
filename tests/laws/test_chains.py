"""The laws of processes on finitely many states, and of what is built on them, by full enumeration in float64.

A state space of K levels on D elements has K^D points: the model's own likelihood is then a product of matrices, held
against the bound that `Elbo` states and against the frequencies of what `Ancestral` draws.
"""

import math
from dataclasses import dataclass

import pytest
import torch

from reverie.core import catalog
from reverie.core.discrete import Categorical, level, state
from reverie.core.rng import Rng
from reverie.denoisers.finite import FiniteData
from reverie.likelihoods import Elbo
from reverie.processes import Absorbing, Binomial, CosineErasure, DiscretizedGaussian, Stochastic, Uniform
from reverie.samplers import Ancestral, sample

TILTED = (0.1, 0.7, 0.2, 0.3, 0.3, 0.4, 0.6, 0.1, 0.3)  # neither symmetric nor reversible
PROCESSES = {
    "binomial": Binomial(),
    "binomial-0.2": Binomial(prior_one=0.2),
    "uniform": Uniform(bins=3),
    "absorbing": Absorbing(bins=3),
    "absorbing-cosine": Absorbing(bins=3, erasure=CosineErasure()),
    "discretized-gaussian": DiscretizedGaussian(bins=4),
    "stochastic": Stochastic(rows=TILTED),
}
every_chain = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
TIMES = [(0.0, 0.2, 0.7), (0.1, 0.35, 0.4), (0.3, 0.9, 0.99)]


def all_states(process, elements):
    """Every point of the state space, as levels (K^D, D)."""
    index = torch.cartesian_prod(*[torch.arange(process.states)] * elements).reshape(-1, elements)
    return level(index, process.bins, torch.empty(0, dtype=torch.float64))


def rows_gap(process):
    matrices = [process.matrix(s, t) for _, s, t in TIMES] + [process.matrix(0.0, 1.0)]
    least = min(float(m.min()) for m in matrices)
    return max(float((m.sum(1) - 1).abs().max()) for m in matrices) + max(0.0, -least)


def composition_gap(process):
    """Chapman–Kolmogorov: Q(s|r) Q(t|s) = Q(t|r)."""
    return max(
        float((process.matrix(r, s) @ process.matrix(s, t) - process.matrix(r, t)).abs().max()) for r, s, t in TIMES
    )


def bayes_gap(process):
    """q(xs|x0,xt) q(xt|x0) = q(xt|xs) q(xs|x0) for all states at once, where x_t can be reached."""
    worst = 0.0
    x0, xt = (v.reshape(-1, 1) for v in torch.cartesian_prod(*[all_states(process, 1)[:, 0]] * 2).T)
    for _, s, t in TIMES:
        reach = process.marginal(x0, t).log_prob(xt).exp()
        bridge = process.bridge(x0, xt, s, t).probs[:, 0]
        left = bridge * reach[:, None]
        j = state(xt, process.bins)[:, 0]
        right = process.marginal(x0, s).probs[:, 0] * process.matrix(s, t)[:, j].T
        gap = torch.where(reach[:, None] > 0, (left - right).abs(), torch.zeros_like(left))
        worst = max(worst, float(gap.max()))
    return worst


@every_chain
def test_rows_of_every_transition_matrix_are_probabilities(process):
    assert rows_gap(process) < 1e-12


@every_chain
def test_transitions_compose(process):
    assert composition_gap(process) < 1e-12


@every_chain
def test_bayes_rule_joins_bridge_marginal_and_transition(process):
    assert bayes_gap(process) < 1e-12


@every_chain
def test_times_of_their_own_give_each_example_what_one_time_gives(process):
    x0 = all_states(process, 1)
    xt = x0.flip(0) if process.states == process.bins else x0
    s, t = torch.full((len(x0),), 0.3, dtype=torch.float64), torch.full((len(x0),), 0.6, dtype=torch.float64)
    for one, many in (
        (process.marginal(x0, 0.6), process.marginal(x0, t)),
        (process.transition(x0, 0.3, 0.6), process.transition(x0, s, t)),
        (process.bridge(x0, xt, 0.3, 0.6), process.bridge(x0, xt, s, t)),
    ):
        torch.testing.assert_close(one.probs, many.probs, rtol=0, atol=1e-13, equal_nan=True)


@every_chain
def test_noise_keeps_the_stationary_law_and_the_end_is_near_it(process):
    law = process.stationary()
    torch.testing.assert_close(law @ process.matrix(0.2, 0.8), law, rtol=0, atol=1e-12)
    assert float((process.matrix(0.0, 1.0) - law).abs().max()) < 1e-3


@every_chain
def test_a_certain_posterior_makes_the_reverse_the_bridge(process):
    x0 = all_states(process, 1)[: process.bins]
    certain = process.marginal(x0, 0.0)
    xt = process.marginal(x0, 0.6).sample(Rng(0))
    bridge, reverse = process.bridge(x0, xt, 0.3, 0.6), process.reverse(certain, xt, 0.3, 0.6)
    torch.testing.assert_close(reverse.probs, bridge.probs, rtol=0, atol=1e-13)


@every_chain
def test_the_bridge_ends_at_its_data(process):
    x0 = all_states(process, 1)[: process.bins]
    xt = process.marginal(x0, 0.6).sample(Rng(0))
    torch.testing.assert_close(process.bridge(x0, xt, 0.0, 0.6).mean, x0, rtol=0, atol=1e-12)


# Data with three unequal points on two elements, and the model that the exact posterior gives.


def oracle(process, elements=2):
    index = torch.tensor([[0, 1], [1, 1], [1, 0]])[:, :elements] * (process.bins - 1)
    points = level(index, process.bins, torch.empty(0, dtype=torch.float64))
    return FiniteData(process, points, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))


def model_law(denoiser, steps, elements):
    """log p(x_0) of the model for every state, by multiplying its reverse kernels: (K^D,)."""
    process, space = denoiser.process, all_states(denoiser.process, elements)
    p = process.prior((len(space), elements)).to(space).log_prob(space).exp()
    for i in range(steps, 0, -1):
        reverse = process.reverse(denoiser(space, i / steps), space, (i - 1) / steps, i / steps)
        probs = reverse.probs.nan_to_num(0.0)  # states that nothing leads to have no reverse, and no weight
        index = state(space, process.bins)
        kernel = torch.ones(len(space), len(space), dtype=torch.float64)
        for d in range(elements):
            kernel = kernel * probs[:, d][:, index[:, d]]
        p = torch.where(p > 0, p, torch.zeros_like(p)) @ kernel
    return space, p


@every_chain
def test_the_model_of_an_exact_posterior_is_the_data_on_one_element(process):
    space, p = model_law(oracle(process, 1), 4, 1)
    prior_gap = float((process.matrix(0.0, 1.0) - process.stationary()).abs().max())
    assert float(p[space[:, 0] == -1.0]) == pytest.approx(0.5, abs=1e-9 + 2 * prior_gap)
    assert float(p[space[:, 0] == 1.0]) == pytest.approx(0.5, abs=1e-9 + 2 * prior_gap)


@every_chain
@pytest.mark.parametrize("elements", [1, 2])
def test_the_bound_stays_below_the_enumerated_likelihood_and_reaches_it_on_one_element(process, elements):
    denoiser, steps, rows = oracle(process, elements), 4, 4000
    space, p = model_law(denoiser, steps, elements)
    for point in denoiser.points.unique(dim=0):
        exact = float(p[(space == point).all(1)].log())
        bound = Elbo(steps=steps)(denoiser, point.expand(rows, -1).contiguous(), rng=Rng(1)).log_prob
        mean, error = float(bound.mean()), float(bound.std()) / math.sqrt(rows)
        assert mean < exact + 4 * error + 1e-9
        if elements == 1:
            assert abs(mean - exact) < 4 * error + 1e-3


@every_chain
def test_ancestral_samples_follow_the_enumerated_law(process):
    """Pearson's χ² over all states with an expected count of 5 or more; the 10⁻⁵ quantile by Wilson–Hilferty."""
    denoiser, rows = oracle(process), 20_000
    space, p = model_law(denoiser, 4, 2)
    x = sample(denoiser, (rows, 2), sampler=Ancestral(), steps=[1.0, 0.75, 0.5, 0.25, 0.0], rng=Rng(2))
    counts = (x[:, None].double() - space).abs().amax(2).lt(1e-6).double().sum(0)
    kept = p * rows >= 5
    rest = torch.stack(((~kept * counts).sum(), (~kept * p * rows).sum()))
    chi2 = float((((counts - p * rows) ** 2 / (p * rows).clamp(min=1e-9))[kept]).sum())
    degrees = int(kept.sum()) - 1 + int(rest[1] > 5)
    chi2 += float((rest[0] - rest[1]) ** 2 / rest[1]) if rest[1] > 5 else 0.0
    limit = degrees * (1 - 2 / (9 * degrees) + 4.26 * math.sqrt(2 / (9 * degrees))) ** 3
    assert chi2 < limit


@every_chain
def test_the_oracle_agrees_with_bayes_over_all_pairs(process):
    """p(x_0,d = k | x_t) summed over the data by hand."""
    denoiser, t = oracle(process), 0.4
    xt = process.marginal(denoiser.points, t).sample(Rng(5))
    weight = denoiser.weights * torch.stack(
        [process.marginal(denoiser.points, t).log_prob(row.expand(3, -1)).exp() for row in xt]
    )
    weight = weight / weight.sum(1, keepdim=True)
    for d in range(2):
        for point_level in (-1.0, 1.0):
            by_hand = (weight * (denoiser.points[:, d] == point_level)).sum(1)
            k = state(torch.tensor(point_level), process.bins)
            torch.testing.assert_close(denoiser(xt, t).probs[:, d, k], by_hand, rtol=0, atol=1e-12)


def test_the_binomial_schedule_erases_the_same_share_of_information_in_every_step():
    """β_i = 1/(T − i + 1): with T steps, kept falls by exactly 1/T in each."""
    process, steps = Binomial(prior_one=0.2), 2000
    for i in (1, 2, 1000, 1999, 2000):
        keep = process.erasure.between((i - 1) / steps, i / steps)
        assert 1 - keep == pytest.approx(1 / (steps - i + 1), rel=1e-9)


def test_only_what_was_never_touched_can_be_read_through_a_mask():
    process = Absorbing(bins=3)
    xt = level(torch.tensor([[0, 3]]), 3, torch.empty(0))
    assert process.possible(xt, 0.5)[0].tolist() == [[True, False, False, False], [True, True, True, False]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binomial(prior_one=1.0), "between 0 and 1"),
        (lambda: Uniform(bins=1), "at least 2"),
        (lambda: Stochastic(rows=(0.5, 0.5, 1.0)), "K × K"),
        (lambda: Stochastic(rows=(0.5, 0.6, 0.5, 0.5)), "sum to 1"),
        (lambda: Stochastic(rows=(1.0, 0.0, 0.0, 1.0)), "more than one stationary law"),
        (lambda: DiscretizedGaussian(bins=4, width=0.0), "above 0"),
    ],
)
def test_what_is_no_process_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@dataclass(frozen=True)
class Leaky(Uniform):
    """A mutant whose transition takes kept(t) where kept(t)/kept(s) belongs."""

    def matrix(self, s, t):
        return super().matrix(0.0, t)


@dataclass(frozen=True)
class Careless(Uniform):
    """A mutant whose bridge forgets where it is going."""

    def bridge(self, x0, xt, s, t):
        return Categorical(self.marginal(x0, s).probs, self.bins)


def test_the_laws_reject_a_process_that_is_wrong():
    assert composition_gap(Leaky(bins=3)) > 1e-2
    assert bayes_gap(Careless(bins=3)) > 1e-2


def test_every_chain_of_the_catalogue_is_held_by_these_laws():
    assert set(catalog.names("processes", "Chain")) == {catalog.kebab(type(p).__name__) for p in PROCESSES.values()}
