"""Every guidance of the catalogue under every law of guidance, with every sampler: exact oracles, no networks."""

import pytest
import torch
from guidance_oracles import (
    MEAN,
    PROBLEMS,
    SENSOR,
    STD,
    TILT,
    MeanOnly,
    gaussian_data,
    posterior,
    problem,
    tilt,
)
from sampler_oracles import entries

from reverie.core import catalog
from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import Denoiser
from reverie.guidance import Bounded, Classifier, ComponentClassifier, DirectPotential, MomentMatching, Potential
from reverie.guidance.base import Twist
from reverie.processes import Edm, Flow, VpCosine, VpLinear
from reverie.samplers import Ancestral, Ddim, Heun, Karras, Uniform, sample, trajectory

NAMES = sorted(PROBLEMS)
EXACT = [name for name in NAMES if problem(name).truth is not None]
SCHEDULES = [VpLinear(), VpCosine(), Edm(), Flow()]
TIMES = (0.02, 0.3, 0.7, 0.98)


@torch.inference_mode()
def walk(denoiser, sampler) -> torch.Tensor:
    times = Karras(sigma_min=0.02).times(denoiser.process, 4)
    *_, last = trajectory(denoiser, sampler, points(4), times, rng=Rng(1))
    return last.x


def points(rows: int = 7) -> torch.Tensor:
    return Rng(3).normal(torch.empty(rows, 3, dtype=torch.float64))


def test_every_guidance_of_the_catalogue_has_a_problem_here():
    assert sorted(catalog.names("guidance", "Denoiser")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_at_scale_zero_a_guidance_is_its_inner_denoiser(name):
    case = problem(name)
    for t in (*TIMES, torch.linspace(0.05, 0.95, 7).double()):
        guided, inner = case.guided(0.0)(points(), t), case.inner(points(), t)
        assert torch.equal(guided.mean, inner.mean)
        assert torch.equal(torch.as_tensor(guided.std), torch.as_tensor(inner.std))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", EXACT)
def test_at_scale_one_the_conditional_mean_is_exact(name, schedule):
    case = problem(name, schedule)
    for t in (*TIMES, torch.linspace(0.05, 0.95, 7).double()):
        level = schedule.sigma(t)
        x = points() * torch.as_tensor(level).reshape(-1, 1).clamp(min=1.0)
        assert torch.allclose(case.guided(1.0)(x, t).mean, case.truth(x, t).mean, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", EXACT)
def test_pure_noise_without_signal_is_read_as_its_limit(name, schedule):
    case = problem(name, schedule)
    x = points() * schedule.sigma(1.0)
    assert torch.allclose(case.guided(1.0)(x, 1.0).mean, case.truth(x, 1.0).mean, rtol=1e-3, atol=5e-3)


@pytest.mark.parametrize("sampler", entries(), ids=repr)
def test_every_sampler_draws_from_the_exact_conditional(sampler):
    """The same random numbers through the guidance and through the conditional's own oracle end in the same place."""
    for name in EXACT:
        case = problem(name)
        assert draws_alike(case.guided(1.0), case.truth, sampler), name


def draws_alike(guided, truth, sampler) -> bool:
    drawn, wanted = (walk(MeanOnly(d), sampler) for d in (guided, truth))
    # a step size that is controlled turns rounding into a decision
    close = 1e-3 if type(sampler).__name__ == "Adaptive" else 1e-6
    return torch.allclose(drawn, wanted, rtol=close, atol=close)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_not_depend_on_the_batch_it_is_in(name):
    guided = problem(name).guided(1.7)
    options = {"sampler": Ancestral(), "steps": 2, "grid": Uniform(), "rng": Rng(5)}
    many = sample(guided, (11, 3), **options)
    assert torch.isfinite(many).all()
    assert torch.equal(sample(guided, (1, 3), **options), many[:1])
    assert torch.equal(sample(guided, (4, 3), first=6, **options), many[6:10])
    assert is_alone(guided)


def is_alone(guided) -> bool:
    """Whether each row of a batch is what it would be by itself."""
    alone = torch.cat([guided(row[None], 0.4).mean for row in points()])
    return torch.allclose(alone, guided(points(), 0.4).mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("blend", "bounded")])
def test_outside_its_interval_a_guidance_rests(name):
    guided, rest = problem(name).guided(3.0), problem(name).guided(problem(name).guided(1.0).neutral)
    level = VpLinear().sigma(0.5) / VpLinear().alpha(0.5)
    guided.low, guided.high = 0.5 * level, 2 * level
    assert not torch.allclose(guided(points(), 0.5).mean, rest(points(), 0.5).mean, atol=1e-6)
    for t in (0.1, 0.95):
        assert torch.equal(guided(points(), t).mean, rest(points(), t).mean)
    mixed = guided(points(3), torch.tensor([0.1, 0.5, 0.95], dtype=torch.float64)).mean
    alone = torch.cat([guided(row[None], t).mean for row, t in zip(points(3), (0.1, 0.5, 0.95), strict=True)])
    assert torch.allclose(mixed, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_guidance_can_be_differentiated_by_the_one_around_it(name):
    """The gradient of v·x̂_0′ along u is that of central differences."""
    guided, (u, v) = problem(name).guided(1.3), Rng(8).normal(torch.empty(2, 7, 3, dtype=torch.float64))
    x = points().requires_grad_()
    (gradient,) = torch.autograd.grad((v * guided(x, 0.4).mean).sum(), x)
    ends = [(v * guided(points() + step * u, 0.4).mean).sum() for step in (1e-5, -1e-5)]
    assert torch.allclose((gradient * u).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)


class Watched(Denoiser):
    """An oracle that notes whether its input is to be differentiated."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.process, self.seen = inner, inner.process, []

    def given(self, condition):
        return self

    def forward(self, xt, t):
        self.seen.append(xt.requires_grad)
        return self.inner(xt, t)


@pytest.mark.parametrize("name", ["classifier", "direct-potential", "noisy-potential", "potential", "moment-matching"])
def test_a_guidance_asks_for_gradients_of_its_inner_denoiser_only_where_it_needs_them(name):
    guided = problem(name).guided(1.0)
    guided.inner = inner = Watched(guided.inner)
    guided(points(), 0.4)
    assert inner.seen == [name in ("potential", "moment-matching")]


ORDERS = {
    "observation of a tilted prior": lambda data: MomentMatching(Potential(data, tilt), SENSOR),
    "tilted posterior": lambda data: Potential(MomentMatching(data, SENSOR), tilt),
    "observation of a directly tilted prior": lambda data: MomentMatching(DirectPotential(data, tilt), SENSOR),
}


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("order", ORDERS)
def test_a_guidance_of_a_guidance_is_exact_in_any_order(order, schedule):
    """p(x) e^{g·x} p(y | x) for Gaussian data: each of the two is exact for what the other makes of them."""
    data, wanted = gaussian_data(schedule), posterior(gaussian_data(schedule, MEAN + STD**2 * TILT), SENSOR)
    for t in (*TIMES, torch.linspace(0.05, 0.95, 7).double()):
        x = points() * torch.as_tensor(schedule.sigma(t)).reshape(-1, 1).clamp(min=1.0)
        assert torch.allclose(ORDERS[order](data)(x, t).mean, wanted(x, t).mean, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("order", ORDERS)
def test_an_inner_guidance_without_its_graph_is_found(order, monkeypatch):
    """A mutant: an inner guidance that hides its derivative leaves the outer one without effect, or too large."""
    data, wanted = gaussian_data(VpLinear()), posterior(gaussian_data(VpLinear(), MEAN + STD**2 * TILT), SENSOR)
    monkeypatch.setattr(Twist, "posterior", property(lambda self: Normal((self.belief.mean + self.shift).detach())))
    assert (ORDERS[order](data)(points(), 0.3).mean - wanted(points(), 0.3).mean).abs().max() > 0.1


class ForgetsAlpha(Classifier):
    """A mutant: the shift σ² ∇ log p instead of (σ²/α) ∇ log p, right only where α = 1."""

    def slope(self, x, t):
        value, shift = super().slope(x, t)
        return value, expand(self.process.schedule.alpha(t), shift) * shift


class HalfTheBatch(Classifier):
    """A mutant: the gradient of the batch's mean log-probability, so that a guidance weakens as its batch grows."""

    def slope(self, x, t):
        value, shift = super().slope(x, t)
        return value, shift / len(value)


def by(mutant: type[Classifier]) -> Classifier:
    inner = problem("classifier").inner
    return mutant(inner, ComponentClassifier(inner), label=torch.tensor([2]))


@pytest.mark.parametrize("mutant", [ForgetsAlpha, HalfTheBatch])
def test_a_wrong_shift_is_far_from_the_conditional(mutant):
    truth = problem("classifier").truth
    assert (by(mutant)(points(), 0.7).mean - truth(points(), 0.7).mean).abs().max() > 0.05
    for sampler in (Ancestral(), Ddim(), Heun()):
        assert not draws_alike(by(mutant), truth, sampler), sampler


def test_a_guidance_that_weakens_with_its_batch_is_found():
    assert is_alone(by(ForgetsAlpha))
    assert not is_alone(by(HalfTheBatch))


def test_bounds_hold_whatever_a_guidance_makes_of_a_belief():
    wild = problem("classifier").guided(1000.0)
    held = Bounded(wild, low=-0.5, high=0.8)(points(), 0.6).mean
    assert torch.equal(held, wild(points(), 0.6).mean.clamp(-0.5, 0.8))
    assert wild(points(), 0.6).mean.abs().max() > 2


def test_data_without_spread_cannot_be_moved():
    data = gaussian_data(VpLinear(), std=torch.zeros(3).double())
    case = problem("potential")
    guided = type(case.guided(1.0))(data, case.guided(1.0).reward)
    assert torch.allclose(guided(points(), 0.5).mean, data(points(), 0.5).mean, rtol=0, atol=1e-12)
