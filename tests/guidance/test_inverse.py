"""Inverse problems beyond the laws: what is observed is returned, the truth's own algebra, limits that agree."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import GaussianData, Mixture
from reverie.guidance import (
    Dps,
    Mask,
    Matrix,
    MomentMatching,
    Observation,
    PiGdm,
    Pool,
    Projection,
    Replacement,
    linear_posterior,
)
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ancestral, Ddim, sample

PROCESS = Gaussian(VpLinear())
SHAPE = (1, 4, 4)


def pictures() -> Mixture:
    means = 0.7 * Rng(1).normal(torch.empty(3, *SHAPE, dtype=torch.float64))
    return Mixture(PROCESS, torch.tensor([0.3, 0.3, 0.4]).double(), means, torch.full((3,), 0.3).double())


def points(rows: int = 5) -> torch.Tensor:
    return Rng(2).normal(torch.empty(rows, *SHAPE, dtype=torch.float64))


@pytest.mark.parametrize("method", [Replacement, Projection])
@pytest.mark.parametrize("sampler", [Ancestral(), Ddim(), Ddim(eta=1.0)], ids=repr)
def test_the_seen_pixels_of_a_noiseless_mask_are_returned_exactly(method, sampler):
    mask, truth = Mask.half(SHAPE), points(1).float()
    observation = Observation(mask, mask.apply(truth))
    x = sample(method(pictures().float(), observation), (6, *SHAPE), sampler=sampler, steps=8, rng=Rng(0))
    assert torch.equal(mask.apply(x), observation.y.expand_as(x))
    assert float(x[:, ~mask.mask].std(0).min()) > 0.02


def test_replacement_carries_the_seen_part_as_the_process_does():
    """Ancestral steps leave the seen part at time s with the law q(x_s | y), as replacing it anew would."""
    mask, y, rows = Mask(torch.tensor([1, 0]), (2,)), torch.tensor([[0.8, 0.0]]).double(), 40_000
    data = GaussianData(PROCESS, torch.zeros(2).double(), torch.ones(2).double())
    guided = Replacement(data, Observation(mask, y))
    x = Rng(0).normal(torch.empty(rows, 2, dtype=torch.float64))
    alpha, sigma = PROCESS.schedule.alpha, PROCESS.schedule.sigma
    x[:, 0] = alpha(1.0) * 0.8 + sigma(1.0) * x[:, 0]
    for i, (t, s) in enumerate([(1.0, 0.7), (0.7, 0.4), (0.4, 0.2)]):
        x, _ = Ancestral().step(guided, x, t, s, state=None, rng=Rng(1).fork(i))
    assert float(x[:, 0].mean()) == pytest.approx(alpha(0.2) * 0.8, abs=4.5 * sigma(0.2) / math.sqrt(rows))
    assert float(x[:, 0].std()) == pytest.approx(sigma(0.2), rel=4.5 / math.sqrt(2 * rows))


def test_with_a_trifle_of_noise_projection_is_replacement():
    operator = Pool(2, SHAPE)
    y = operator.apply(points(1))
    quiet, loud = (Projection(pictures(), Observation(operator, y, noise)) for noise in (0.0, 1e-6))
    assert torch.allclose(quiet(points(), 0.4).mean, loud(points(), 0.4).mean, rtol=0, atol=1e-8)


def test_moment_matching_with_one_class_of_the_mixture_is_the_exact_posterior():
    """The laws have Gaussian data; here the mixture's own Jacobian is the covariance of p(x_0 | x_t)."""
    data, x, t = pictures(), points(1), 0.4
    operator = Matrix.random(1.0, SHAPE)
    guided = MomentMatching(data, Observation(operator, operator.apply(points(1)), noise=0.5), iterations=40)
    belief = data(x, t)
    weights, means = belief.log_weights.exp()[0], belief.means[0].flatten(1)
    centred = means - weights @ means
    covariance = (centred.T * weights) @ centred + torch.diag(
        (weights[:, None] * belief.stds[0].flatten(1) ** 2).sum(0)
    )
    a = operator.matrix
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + 0.25 * torch.eye(len(a)).double())
    wanted = belief.mean.flatten() + gain @ (guided.observation.y[0] - a @ belief.mean.flatten())
    assert torch.allclose(guided(x, t).mean.flatten(), wanted, rtol=0, atol=1e-6)


def test_without_spread_in_the_data_dps_and_moment_matching_leave_the_point():
    data = GaussianData(PROCESS, torch.full((2,), 0.3).double(), torch.zeros(2).double())
    observation = Observation(Matrix(torch.tensor([[1.0, 1.0]]), (2,)), torch.tensor([[5.0]]).double(), noise=0.1)
    for method in (Dps, MomentMatching, PiGdm):
        x = Rng(0).normal(torch.empty(3, 2, dtype=torch.float64))
        assert torch.allclose(method(data, observation)(x, 0.5).mean, torch.tensor(0.3).double(), atol=1e-10)


def test_the_published_dps_step_moves_x_by_zeta():
    """One step of 1/1000 with ζ moves x by −2ζ ∇‖y − A x̂_0‖ to first order in the step."""
    data = GaussianData(PROCESS, torch.zeros(2).double(), torch.ones(2).double())
    observation = Observation(Matrix(torch.tensor([[1.0, 0.0]]), (2,)), torch.tensor([[2.0]]).double())
    x, t = torch.tensor([[0.3, -0.4]]).double(), 0.5
    s, zeta = t - 1e-3, 0.7
    guided = Dps(data, observation, zeta=zeta)
    moved, plain = (Ddim(eta=1.0).step(d, x, t, s, state=None, rng=Rng(0))[0] for d in (guided, data))
    slope = float(PROCESS.schedule.alpha(t))  # x̂_0 = α x_t for unit normal data
    assert float((moved - plain)[0, 0]) == pytest.approx(2 * zeta * slope, rel=1e-2)
    assert float((moved - plain)[0, 1]) == pytest.approx(0.0, abs=1e-9)


def test_the_truth_agrees_with_brute_force_in_two_dimensions():
    means = torch.tensor([[-0.8, 0.2], [0.6, 0.5]]).double()
    data = Mixture(PROCESS, torch.tensor([0.4, 0.6]).double(), means, torch.tensor([[0.3, 0.5], [0.4, 0.2]]).double())
    observation = Observation(Matrix(torch.tensor([[0.7, -0.4]]), (2,)), torch.tensor([[0.1]]).double(), noise=0.2)
    axis = torch.linspace(-5, 5, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_joint = data.law().log_prob(grid) + observation.log_prob(grid)
    cell = float(axis[1] - axis[0]) ** 2
    truth = linear_posterior(data, observation)
    assert float(truth.log_evidence) == pytest.approx(float(log_joint.logsumexp(0)) + math.log(cell), abs=1e-8)
    assert torch.allclose(truth.mean[0], log_joint.softmax(0) @ grid, atol=1e-8)
    drawn = truth.sample(50_000, Rng(0))[0]
    spread = ((log_joint.softmax(0) @ grid**2) - truth.mean[0] ** 2).sqrt()
    assert torch.allclose(drawn.mean(0), truth.mean[0], atol=4.5 * float(spread.max()) / math.sqrt(50_000))
    assert torch.allclose(drawn.std(0), spread, rtol=0.02)
