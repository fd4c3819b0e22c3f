"""The laws of predictions, for every one × every schedule that takes it.

A target a x_0 + b ε gives back x_0 and ε; for one posterior all predictions with matched weights give equal losses.
"""

import math
from dataclasses import dataclass

import pytest
import torch

from reverie.core import catalog
from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import X0, Eps, F, Mu, NetworkDenoiser, Prediction, Score, V, Velocity
from reverie.denoisers.prediction import input_scale, noise_level
from reverie.losses import EdmWeight, Flat, Regression, SigmaSquared, Simple, SnrPlusOne
from reverie.processes import Flow, Gaussian, LinearBeta, SubVp, Ve, VpCosine, VpLinear, ZeroTerminal


def schedules():
    for name in catalog.names("processes", "Schedule"):
        inner = {o.name: "linear-beta" for o in catalog.options("processes", name) if o.annotation == "Schedule"}
        yield name, catalog.build("processes", {"name": name, **inner})


def takes(prediction, schedule):
    try:
        prediction.check(schedule)
    except ValueError:
        return False
    return True


PREDICTIONS = [(key, catalog.build("denoisers", {"name": key})) for key in catalog.names("denoisers", "Prediction")]
PAIRS = [
    pytest.param(prediction, schedule, id=f"{key}-{name}")
    for key, prediction in PREDICTIONS
    for name, schedule in schedules()
    if takes(prediction, schedule)
]
every_pair = pytest.mark.parametrize(("prediction", "schedule"), PAIRS)
TIMES = torch.tensor([0.01, 0.1, 0.3, 0.55, 0.8, 0.95], dtype=torch.float64)


def draws(seed, *shape):
    return Rng(seed).normal(torch.zeros(*shape, dtype=torch.float64))


def noised(schedule, x0, eps, t):
    return expand(schedule.alpha(t), x0) * x0 + expand(schedule.sigma(t), x0) * eps


def size(schedule, t):
    """How large an error of rounding in out may become in x̂0: its terms, relative to x0."""
    return float((1 + schedule.sigma(t) / schedule.alpha(t)).max())


@every_pair
def test_a_target_gives_back_the_data_and_the_noise(prediction, schedule):
    x0, eps = draws(0, 6, 2, 3), draws(1, 6, 2, 3)
    xt = noised(schedule, x0, eps, TIMES)
    out = prediction.target(schedule, x0, eps, TIMES)
    found = prediction.x0(schedule, out, xt, TIMES)
    noise = (xt - expand(schedule.alpha(TIMES), x0) * found) / expand(schedule.sigma(TIMES), x0)
    tolerance = 1e-9 * size(schedule, TIMES)
    torch.testing.assert_close(found, x0, rtol=0, atol=tolerance)
    torch.testing.assert_close(noise, eps, rtol=0, atol=1e-7)


@every_pair
def test_one_time_for_all_and_a_time_each_agree(prediction, schedule):
    x0, eps = draws(2, 4, 3), draws(3, 4, 3)
    for t in (0.02, 0.5, 0.97):
        each = torch.full((4,), t, dtype=torch.float64)
        torch.testing.assert_close(
            prediction.target(schedule, x0, eps, t), prediction.target(schedule, x0, eps, each), rtol=1e-9, atol=1e-9
        )


@every_pair
def test_at_time_zero_the_data_are_seen(prediction, schedule):
    assert prediction.skip_and_out(schedule, 0.0) == (1.0 / schedule.alpha(0.0), 0.0)


@every_pair
def test_the_end_of_the_schedule_can_be_inverted(prediction, schedule):
    x0, eps = draws(4, 4, 3), draws(5, 4, 3)
    xt = noised(schedule, x0, eps, 1.0)
    found = prediction.x0(schedule, prediction.target(schedule, x0, eps, 1.0), xt, 1.0)
    if schedule.alpha(1.0) > 1e-4:
        torch.testing.assert_close(found, x0, rtol=0, atol=1e-8)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("prediction", [Eps(), Score()], ids=repr)
@pytest.mark.parametrize("schedule", [Flow(), VpCosine(), ZeroTerminal(LinearBeta())], ids=repr)
def test_a_target_of_pure_noise_is_refused_where_no_signal_is_left(prediction, schedule):
    with pytest.raises(ValueError, match="says nothing about x0 at t = 1"):
        prediction.check(schedule)
    with pytest.raises(ValueError, match="says nothing about x0"):
        NetworkDenoiser(Gaussian(schedule), torch.nn.Identity(), prediction)


def weight_gap(prediction, schedule, weight):
    """How far ‖target − target′‖² is from w(λ)‖x0 − x0′‖² at one x_t, relative, over TIMES."""
    x0, other, eps = draws(6, 6, 50), draws(7, 6, 50), draws(8, 6, 50)
    xt = noised(schedule, x0, eps, TIMES)
    other_eps = (xt - expand(schedule.alpha(TIMES), xt) * other) / expand(schedule.sigma(TIMES), xt)
    a, b = (prediction.target(schedule, *pair, TIMES) for pair in ((x0, eps), (other, other_eps)))
    ratio = ((a - b) ** 2).sum(1) / ((x0 - other) ** 2).sum(1)
    return float((ratio / weight(TIMES) - 1).abs().max())


def on_log_snr(weight, schedule):
    return lambda t: weight(schedule.log_snr(t))


@pytest.mark.parametrize(("name", "schedule"), list(schedules()))
def test_squared_errors_of_targets_are_weighted_errors_of_the_data(name, schedule):
    """With matched weights, one posterior has one loss whatever its network predicts."""
    assert weight_gap(X0(), schedule, on_log_snr(Flat(), schedule)) < 1e-9
    assert weight_gap(Eps(), schedule, on_log_snr(Simple(), schedule)) < 1e-9
    score = weight_gap(Score(), schedule, lambda t: SigmaSquared()(schedule.log_snr(t)) / schedule.sigma(t) ** 2)
    assert score < 1e-9
    for data_std in (0.5, 1.0):
        f = weight_gap(F(data_std), schedule, on_log_snr(EdmWeight(data_std), schedule))
        assert f < 1e-9
    # velocity: a − bα/σ = α′ − σ′α/σ = α λ′/2, so the weight is (g²)² α²/(4σ⁴)
    velocity = weight_gap(
        Velocity(), schedule,
        lambda t: (schedule.diffusion2(t) * schedule.alpha(t) / (2 * schedule.sigma(t) ** 2)) ** 2,
    )  # fmt: skip
    assert velocity < 1e-7


@pytest.mark.parametrize("schedule", [VpLinear(), VpCosine(), LinearBeta()], ids=repr)
def test_the_error_of_v_counts_snr_plus_one_when_variance_is_preserved(schedule):
    assert weight_gap(V(), schedule, on_log_snr(SnrPlusOne(), schedule)) < 1e-9


def test_the_matched_weights_are_told_from_neighbouring_ones():
    schedule = VpLinear()
    assert weight_gap(V(), schedule, on_log_snr(Simple(), schedule)) > 0.1
    assert weight_gap(Eps(), schedule, on_log_snr(SnrPlusOne(), schedule)) > 0.1
    assert weight_gap(F(0.5), schedule, on_log_snr(EdmWeight(1.0), schedule)) > 0.1


@pytest.mark.parametrize("steps", [10, 1000])
@pytest.mark.parametrize("schedule", [LinearBeta(), VpLinear(), Ve(), SubVp()], ids=repr)
def test_mu_is_the_mean_of_the_bridge(schedule, steps):
    x0, eps = draws(9, 6, 3), draws(10, 6, 3)
    xt = noised(schedule, x0, eps, TIMES)
    s = (TIMES - 1 / steps).clamp(min=0)
    expected = Gaussian(schedule).bridge(x0, xt, s, TIMES).mean
    torch.testing.assert_close(Mu(steps).target(schedule, x0, eps, TIMES), expected, rtol=1e-10, atol=1e-10)


def test_mu_is_the_mean_that_ddpm_writes_with_the_noise():
    """μ = (x_t − β_t/√(1 − ᾱ_t) ε)/√(1 − β_t) (Ho et al. 2020, equation 11), at the points of the table."""
    schedule = LinearBeta()
    x0, eps, i = draws(11, 3, 4), draws(12, 3, 4), torch.tensor([2, 300, 1000])
    t, beta = i.double() / 1000, schedule.betas()[i - 1][:, None]
    xt = noised(schedule, x0, eps, t)
    expected = (xt - beta / expand(schedule.sigma(t), xt) * eps) / (1 - beta).sqrt()
    torch.testing.assert_close(Mu().target(schedule, x0, eps, t), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "schedule"), list(schedules()))
@pytest.mark.parametrize("data_std", [0.3, 1.0, 2.0])
def test_network_inputs_and_the_target_f_have_unit_variance(name, schedule, data_std):
    a, b = F(data_std).pair(schedule, TIMES)
    torch.testing.assert_close(a**2 * data_std**2 + b**2, torch.ones_like(TIMES), rtol=1e-12, atol=0)
    variance = schedule.alpha(TIMES) ** 2 * data_std**2 + schedule.sigma(TIMES) ** 2
    scaled = input_scale(schedule, TIMES, data_std) ** 2 * variance
    torch.testing.assert_close(scaled, torch.ones_like(TIMES), rtol=1e-12, atol=0)


def test_f_is_minus_v_for_unit_data_when_variance_is_preserved():
    x0, eps, schedule = draws(13, 6, 3), draws(14, 6, 3), VpLinear()
    torch.testing.assert_close(
        F().target(schedule, x0, eps, TIMES), -V().target(schedule, x0, eps, TIMES), rtol=1e-12, atol=1e-12
    )


def test_f_is_the_preconditioning_of_the_edm_paper():
    """c_skip, c_out, c_in, c_noise of Karras et al. 2022, table 1, with σ_data = 0.5 on α = 1."""
    schedule = catalog.build("processes", {"name": "edm"})
    for t in (1e-4, 0.01, 0.5, 1.0):
        sigma = 80.0 * t
        skip, out = F(0.5).skip_and_out(schedule, t)
        assert skip == pytest.approx(0.25 / (sigma**2 + 0.25), rel=1e-12)
        assert out == pytest.approx(sigma * 0.5 / math.sqrt(sigma**2 + 0.25), rel=1e-12)
        assert input_scale(schedule, t, 0.5) == pytest.approx(1 / math.sqrt(sigma**2 + 0.25), rel=1e-12)
        assert noise_level(schedule, t) == pytest.approx(math.log(sigma) / 4, rel=1e-12)


class Told(torch.nn.Module):
    """A network that answers what a given belief about x0 means in its own prediction."""

    def __init__(self, schedule, prediction, belief):
        super().__init__()
        self.schedule, self.prediction, self.belief, self.now = schedule, prediction, belief, None

    def forward(self, scaled, noise, label, numbers):
        xt, t = self.now
        eps = (xt - expand(self.schedule.alpha(t), xt) * self.belief) / expand(self.schedule.sigma(t), xt)
        return self.prediction.target(self.schedule, self.belief, eps, t)


class Telling(NetworkDenoiser):
    def forward(self, xt, t):
        self.network.now = (xt, t)
        return super().forward(xt, t)


@every_pair
def test_all_predictions_of_one_belief_have_one_loss(prediction, schedule):
    """The regression loss sees the posterior alone: the same for every parametrisation of the same belief."""
    x0, belief = draws(15, 6, 3), draws(16, 6, 3)
    network = Told(schedule, prediction, belief)
    denoiser = Telling(Gaussian(schedule), network, prediction)
    loss = Regression(weight=Flat()).at(denoiser, x0, TIMES, rng=Rng(0))
    torch.testing.assert_close(loss, ((x0 - belief) ** 2).mean(1), rtol=1e-7 * size(schedule, TIMES), atol=1e-9)


@dataclass(frozen=True)
class Flipped(Prediction):
    """A mutant: v with the sign of the data's part flipped."""

    def pair(self, schedule, t):
        return schedule.sigma(t), schedule.alpha(t)


def test_the_laws_reject_a_prediction_that_is_wrong():
    schedule = VpLinear()
    x0, eps = draws(0, 6, 3), draws(1, 6, 3)
    xt = noised(schedule, x0, eps, TIMES)
    found = Flipped().x0(schedule, V().target(schedule, x0, eps, TIMES), xt, TIMES)
    assert float((found - x0).abs().max()) > 0.1
    assert weight_gap(Flipped(), schedule, on_log_snr(SnrPlusOne(), schedule)) > 0.1
