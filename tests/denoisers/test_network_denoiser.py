"""A network as a denoiser: preconditioning, conditions, learned variance."""

import math

import pytest
import torch
from torch import nn

from reverie.core.rng import Rng
from reverie.denoisers import Condition, Eps, F, GaussianData, NetworkDenoiser, Prediction, V
from reverie.denoisers.prediction import noise_level
from reverie.processes import Edm, Flow, Gaussian, LinearBeta, Ve, VpCosine, VpLinear


class Constant(nn.Module):
    """Answers a constant and remembers what it was shown."""

    def __init__(self, value=0.0, outputs=1, classes=0):
        super().__init__()
        self.value, self.outputs, self.classes, self.shown = value, outputs, classes, None

    def forward(self, x, noise, label, numbers):
        self.shown = (x, noise, label, numbers)
        return torch.full_like(x.repeat(1, self.outputs, *(1,) * (x.dim() - 2)), self.value)


@pytest.mark.parametrize("schedule", [VpLinear(), Ve(), Edm(), Flow()], ids=repr)
@pytest.mark.parametrize("data_std", [0.5, 1.0, 2.0])
def test_a_silent_network_predicting_f_is_the_best_linear_denoiser(schedule, data_std):
    """With F = 0 the posterior mean is that of data N(0, s²): c_skip is the exact oracle's gain."""
    process = Gaussian(schedule)
    denoiser = NetworkDenoiser(process, Constant(), F(data_std), data_std=data_std)
    oracle = GaussianData(process, torch.zeros(3).double(), torch.full((3,), data_std).double())
    xt = Rng(0).normal(torch.zeros(5, 3, dtype=torch.float64))
    for t in (0.01, 0.4, 0.99):
        torch.testing.assert_close(denoiser(xt, t).mean, oracle(xt, t).mean, rtol=1e-11, atol=1e-12)


def test_the_network_sees_inputs_of_unit_variance_and_the_noise_level():
    network = Constant()
    denoiser = NetworkDenoiser(Gaussian(Edm()), network, F(0.5), data_std=0.5)
    xt = Rng(1).normal(torch.zeros(100_000, 1, dtype=torch.float64)) * math.sqrt(0.25 + 8.0**2)
    denoiser(xt, 0.1)
    shown, noise, label, numbers = network.shown
    assert abs(float(shown.std()) - 1) < 5 / math.sqrt(2 * len(xt))
    assert noise.tolist() == pytest.approx([math.log(8.0) / 4] * len(xt), rel=1e-6)
    assert label is None
    assert numbers is None


@pytest.mark.parametrize("schedule", [Flow(), VpCosine()], ids=repr)
def test_the_noise_level_stays_finite_where_the_schedule_does_not(schedule):
    assert noise_level(schedule, 1.0) == 5.0
    assert float(noise_level(schedule, torch.tensor([1.0], dtype=torch.float64))) == 5.0
    assert math.isfinite(noise_level(schedule, 0.0))


@pytest.mark.parametrize("v", [-2.0, 0.0, 3.0])
@pytest.mark.parametrize("i", [2, 400, 1000])
def test_a_learned_variance_lies_between_beta_tilde_and_beta(v, i):
    """The reverse variance of one step is β^w β̃^(1−w), w the logistic function of the network's answer."""
    process = Gaussian(LinearBeta())
    denoiser = NetworkDenoiser(process, Constant(v, outputs=2), Eps(), learned_std=True)
    t, s = i / 1000, (i - 1) / 1000
    xt = Rng(2).normal(torch.zeros(4, 1, 3, 3, dtype=torch.float64))
    posterior = denoiser(xt, t)
    reverse = process.reverse(posterior, xt, s, t)
    w = 1 / (1 + math.exp(-v))
    beta, beta_tilde = process.schedule.ratio(s, t)[1] ** 2, process.bridge_coefficients(s, t)[2] ** 2
    assert posterior.mean.shape == xt.shape
    assert float(reverse.std.max()) ** 2 == pytest.approx(beta**w * beta_tilde ** (1 - w), rel=1e-6)


def test_a_bound_label_reaches_the_network_and_leaves_the_original_free():
    network = Constant(classes=3)
    denoiser = NetworkDenoiser(Gaussian(VpLinear()), network, V())
    bound = denoiser.given(Condition(torch.tensor([2]), torch.tensor([[0.1, 0.2]])))
    xt = torch.zeros(4, 2)
    bound(xt, 0.5)
    assert network.shown[2].tolist() == [2, 2, 2, 2]
    assert network.shown[3].shape == (4, 2)
    denoiser(xt, 0.5)
    assert network.shown[2] is None
    assert [p is q for p, q in zip(bound.parameters(), denoiser.parameters(), strict=True)].count(False) == 0


def test_a_label_that_the_network_does_not_know_is_refused():
    process = Gaussian(VpLinear())
    with pytest.raises(ValueError, match="without labels"):
        NetworkDenoiser(process, Constant(), V()).given(Condition(torch.tensor([0])))
    with pytest.raises(ValueError, match="label 7 is not one of 0 to 2"):
        NetworkDenoiser(process, Constant(classes=3), V()).given(Condition(torch.tensor([7])))


def test_the_answer_has_the_input_s_type_whatever_the_network_computes_in():
    class Half(Constant):
        def forward(self, x, noise, label, numbers):
            return super().forward(x, noise, label, numbers).bfloat16()

    denoiser = NetworkDenoiser(Gaussian(VpLinear()), Half(), V())
    assert denoiser(torch.zeros(2, 3), 0.5).mean.dtype == torch.float32


def test_a_prediction_of_one_s_own_needs_only_its_pair():
    """Halfway between ε and x0: written here, used everywhere."""

    class Half(Prediction):
        def pair(self, schedule, t):
            return -0.5, 0.5

    process = Gaussian(VpLinear())
    x0 = Rng(3).normal(torch.zeros(4, 3, dtype=torch.float64))
    eps = Rng(4).normal(torch.zeros(4, 3, dtype=torch.float64))
    alpha, sigma = process.schedule.alpha(0.3), process.schedule.sigma(0.3)

    class Answer(nn.Module):
        def forward(self, *_):
            return 0.5 * (eps - x0)

    posterior = NetworkDenoiser(process, Answer(), Half())(alpha * x0 + sigma * eps, 0.3)
    torch.testing.assert_close(posterior.mean, x0)
