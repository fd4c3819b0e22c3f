"""The network denoiser of states: what it starts from, what it never believes, and what it asks of a network."""

import math

import pytest
import torch

from reverie.core.discrete import level, state
from reverie.core.rng import Rng
from reverie.denoisers import Condition, FiniteData, TokenDenoiser
from reverie.likelihoods import Elbo
from reverie.losses import CrossEntropy
from reverie.networks import Dit, Mlp, Unet
from reverie.processes import Absorbing, Binomial, DiscretizedGaussian, Uniform
from reverie.training.fitting import fit

PROCESSES = [Binomial(prior_one=0.3), Uniform(bins=5), Absorbing(bins=5), DiscretizedGaussian(bins=5)]
every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)


def denoiser(process, *shape, width=4):
    asked, outputs = TokenDenoiser.asks(shape, {"width": width})
    network = (Mlp if len(shape) == 1 else Unet)(shape=asked, outputs=outputs, width=8, depth=1)
    return TokenDenoiser(process, network, width=width)


@every_process
@pytest.mark.parametrize("shape", [(3,), (1, 6), (2, 4, 4)], ids=str)
def test_a_silent_network_states_bayes_rule_for_flat_data(process, shape):
    made = denoiser(process, *shape)
    x0 = level(torch.zeros(4, *shape, dtype=torch.int64), process.bins, torch.empty(0))
    xt = process.marginal(x0, 0.5).sample(Rng(0))
    posterior = made(xt, torch.full((4,), 0.5, dtype=torch.float64))
    everything = level(torch.arange(process.bins)[:, None], process.bins, torch.empty(0, dtype=torch.float64))
    flat = FiniteData(process, everything)
    expected = flat(xt.reshape(-1, 1).double(), 0.5).probs.reshape(posterior.probs.shape)
    torch.testing.assert_close(posterior.probs.double(), expected, rtol=0, atol=1e-5)


def test_what_is_not_masked_is_known_and_the_mask_is_never_believed():
    process, made = Absorbing(bins=5), denoiser(Absorbing(bins=5), 3)
    with torch.no_grad():
        made.network.exit.weight.normal_(generator=torch.Generator().manual_seed(0))
    xt = level(torch.tensor([[0, 4, 5]]), 5, torch.empty(0))
    probs = made(xt, 0.7).probs.detach()
    assert probs[0, 0].tolist() == [1, 0, 0, 0, 0, 0]
    assert probs[0, 1].tolist() == [0, 0, 0, 0, 1, 0]
    assert float(probs[0, 2, 5]) == 0
    drawn = process.reverse(made(xt, 0.7), xt, 0.0, 0.7).sample(Rng(0))
    assert int(state(drawn, 5).max()) < 5


@pytest.mark.parametrize("network", [Mlp, Unet, Dit], ids=lambda n: n.__name__)
def test_every_kind_of_network_reads_tokens_and_joins_them(network):
    """Words of one letter four times: who sees one letter knows the rest."""
    process, options = Absorbing(bins=3), {"patch": 1} if network is Dit else {}
    asked, outputs = TokenDenoiser.asks((1, 4), {"width": 8})
    made = TokenDenoiser(process, network(shape=asked, outputs=outputs, width=16, depth=1, **options), width=8)
    words = level(torch.arange(3)[:, None, None].expand(-1, 1, 4), 3, torch.empty(0))
    loss = CrossEntropy(bound=0.0, auxiliary=1.0)
    list(fit(made, loss, lambda n, rng: words[rng.integers(n, 3)], updates=150, size=24, rate=1e-2))
    seen = level(torch.tensor([[[k, 3, 3, 3]] for k in range(3)]), 3, torch.empty(0))
    believed = made(seen, 0.7).probs[:, 0, 1:]
    assert all(float(believed[k, :, k].min()) > 0.9 for k in range(3))


@every_process
def test_losses_have_finite_gradients(process):
    made = denoiser(process, 3)
    x0 = level(Rng(1).integers(24, process.bins).reshape(8, 3), process.bins, torch.empty(0))
    for loss in (CrossEntropy(steps=50), CrossEntropy(bound=0.0, auxiliary=1.0, even=True)):
        loss(made, x0, rng=Rng(2)).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


@every_process
def test_the_loss_is_the_bound_of_the_likelihood(process):
    """E over i of T L_i is the bound without its prior term."""
    points = level(torch.tensor([[0, 1], [1, 1]]), process.bins, torch.empty(0, dtype=torch.float64))
    oracle, rows, steps = FiniteData(process, points), 20_000, 5
    x0 = points[:1].expand(rows, -1).contiguous()
    by_loss = CrossEntropy(auxiliary=0.0, steps=steps).at(
        oracle, x0, (1 + torch.arange(rows, dtype=torch.float64) % steps) / steps, rng=Rng(3)
    )
    bound = Elbo(steps=steps)(oracle, x0[:4000], rng=Rng(4))
    expected = bound.total - bound.terms["prior"]
    # the loss is drawn at every i equally often, so its error is at most that of its own spread
    error = 4 * (float(by_loss.std()) / math.sqrt(rows) + float(expected.std()) / math.sqrt(4000) / 2 / math.log(2))
    assert abs(float(by_loss.mean()) - float(expected.mean()) / 2 / math.log(2)) < error


def test_masks_bound_in_the_limit_is_the_cross_entropy_over_t():
    """∫ E[Σ_masked −log p(x_0 | x_t)]/t dt against the sum of T = 400 terms, for the oracle of four words."""
    process = Absorbing(bins=3)
    words = level(torch.tensor([[0, 1, 2], [1, 1, 0], [2, 0, 1], [0, 1, 1]]), 3, torch.empty(0, dtype=torch.float64))
    oracle, rows = FiniteData(process, words), 20_000
    x0 = words[torch.arange(rows) % 4]
    t = (torch.arange(rows, dtype=torch.float64) + 0.5)[
        torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    ]
    continuous = (
        CrossEntropy(bound=0.0, auxiliary=1.0, even=True).at(oracle, x0, t / rows, rng=Rng(5)) * 3 * math.log(2)
    )
    stepped = Elbo(steps=400, terms=40)(oracle, x0[:800], rng=Rng(6)).total
    error = 4 * (float(continuous.std()) / math.sqrt(rows) + float(stepped.std()) / math.sqrt(800))
    assert abs(float(continuous.mean()) - float(stepped.mean())) < error
    assert float(continuous.mean()) > math.log(4) - error


def test_conditions_reach_the_network_and_unknown_ones_are_refused():
    asked, _ = TokenDenoiser.asks((3,), {})
    made = TokenDenoiser(Binomial(), Mlp(shape=asked, classes=2, width=8, depth=1))
    bound = made.given(Condition(torch.tensor([1])))
    assert bound(torch.ones(4, 3), 0.5).probs.shape == (4, 3, 2)
    with pytest.raises(ValueError, match="label 3"):
        made.given(Condition(torch.tensor([3])))


@pytest.mark.parametrize("options", [{"bound": -1.0}, {"bound": 0.0, "auxiliary": 0.0}, {"steps": 0}])
def test_a_loss_of_nothing_is_refused(options):
    with pytest.raises(ValueError, match="at least"):
        CrossEntropy(**options)
