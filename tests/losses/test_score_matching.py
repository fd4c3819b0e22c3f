"""The theorems of score matching: four objectives that differ by a constant which does not depend on the model."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import GaussianData, Mixture, score
from reverie.losses import ImplicitScore, Regression, SigmaSquared, SlicedScore
from reverie.losses.score_matching import denoising_score_matching, explicit_score_matching
from reverie.processes import Gaussian, Ve

COUNT, SIGMA_TIME = 40_000, 0.35


def process() -> Gaussian:
    return Gaussian(Ve(sigma_min=0.01, sigma_max=10.0))


def data() -> Mixture:
    means = torch.tensor([[-1.0, 0.3], [0.8, -0.2]]).double()
    return Mixture(process(), torch.tensor([0.4, 0.6]).double(), means, torch.tensor([0.4, 0.3]).double())


def models() -> list[GaussianData]:
    """Wrong models of the data, each with its own score."""
    pairs = [((0.0, 0.0), 1.0), ((0.5, -0.5), 0.6), ((-0.3, 0.1), 1.5)]
    return [GaussianData(process(), torch.tensor(m).double(), torch.tensor([s]).double().expand(2)) for m, s in pairs]


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    law = data().law()
    x0 = type(law)(law.log_weights.expand(COUNT, -1), law.means.expand(COUNT, -1, -1), law.stds).sample(Rng(0))
    return x0, Rng(1).fork("eps").normal(x0), torch.full((COUNT,), SIGMA_TIME).double()


def gaps(loss) -> torch.Tensor:
    """Explicit score matching minus another objective, for each model and example: (models, COUNT)."""
    x0, eps, t = batch()
    xt = x0 + float(process().schedule.sigma(SIGMA_TIME)) * eps
    true = data()
    rows = [explicit_score_matching(m, xt, t, lambda x, t: score(true, x, t)) - loss(m, x0, eps, t) for m in models()]
    return torch.stack(rows).detach()


OBJECTIVES = {
    "denoising": denoising_score_matching,
    "implicit": lambda m, x0, eps, t: ImplicitScore().at(m, x0, t, rng=Rng(1)),
    "sliced": lambda m, x0, eps, t: SlicedScore().at(m, x0, t, rng=Rng(1)),
    "sliced, without the exact norm": lambda m, x0, eps, t: SlicedScore(exact_norm=False).at(m, x0, t, rng=Rng(1)),
}


def spread(values: torch.Tensor) -> torch.Tensor:
    """How far the gap of each model is from the first model's, in standard errors of the difference."""
    difference = values[1:] - values[:1]
    return difference.mean(1) / (difference.std(1) / math.sqrt(COUNT))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_differs_from_explicit_score_matching_by_a_constant(name):
    assert float(spread(gaps(OBJECTIVES[name])).abs().max()) < 4


def test_half_the_trace_would_be_seen():
    wrong = gaps(lambda m, x0, eps, t: 0.5 * ImplicitScore().at(m, x0, t, rng=Rng(1)))
    assert float(spread(wrong).abs().max()) > 8


def test_the_minimiser_of_denoising_score_matching_is_the_score_of_the_perturbed_density():
    """Among models on a line through the true score, the least loss is at the true score."""
    x0, eps, t = batch()
    sigma = float(process().schedule.sigma(SIGMA_TIME))
    xt, target = x0 + sigma * eps, -eps / sigma
    true = score(data(), xt, t)
    for model in models():
        direction = score(model, xt, t) - true
        # ‖s + k d − target‖² is least at k = −E[d·(s − target)]/E‖d‖², which is 0
        product, square = (direction * (true - target)).sum(1), (direction**2).sum(1).mean()
        assert abs(float(product.mean() / square)) < 4 * float(product.std() / square) / math.sqrt(COUNT)


def test_denoising_score_matching_is_the_regression_loss_weighted_by_sigma_squared():
    x0, _, t = batch()
    x0, t = x0[:100], t[:100]
    eps = Rng(1).fork("eps").normal(x0)
    regression = Regression(weight=SigmaSquared()).at(models()[0], x0, t, rng=Rng(1))
    assert torch.allclose(denoising_score_matching(models()[0], x0, eps, t), regression * x0.shape[1] / 2)


def test_the_gradient_of_the_sliced_objective_reaches_the_weights():
    network = torch.nn.Linear(2, 2).double()

    class Learned(GaussianData):
        def forward(self, xt, t):
            posterior = super().forward(xt, t)
            posterior.mean = posterior.mean + network(xt)
            return posterior

    model = Learned(process(), torch.zeros(2).double(), torch.ones(2).double())
    x0, _, t = batch()
    SlicedScore().at(model, x0[:50], t[:50], rng=Rng(0)).mean().backward()
    assert float(network.weight.grad.abs().sum()) > 0
