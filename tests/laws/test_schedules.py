"""The laws of schedules, for every one in the catalogue: all that is derived from α(t) and σ(t) agrees with them.

A law is a function that returns how far a schedule is from obeying it; the mutants at the end must be far.
"""

import math
from dataclasses import dataclass

import pytest
import torch

from reverie.core import catalog
from reverie.processes import Cosine, LinearBeta, Schedule, SubVp, Ve, VpCosine, VpLinear, ZeroTerminal

NAMES = catalog.names("processes", "Schedule")


def specimen(name):
    """The entry with its defaults; a schedule that wraps another wraps the DDPM table."""
    inner = {o.name: "linear-beta" for o in catalog.options("processes", name) if o.annotation == "Schedule"}
    return catalog.build("processes", {"name": name, **inner})


SCHEDULES = [pytest.param(specimen(name), id=name) for name in NAMES]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)

# Inside the steps of a table of 1000, where every schedule is smooth; near both ends and between.
TIMES = (torch.tensor([2, 5, 10, 50, 100, 300, 500, 700, 900, 980, 997], dtype=torch.float64) + 0.5) / 1000


def dense():
    near = torch.logspace(-6, -2, 100, dtype=torch.float64)
    return torch.cat((near, torch.linspace(0.011, 0.989, 500, dtype=torch.float64), 1 - near.flip(0)))


def relative(a, b):
    return float(((a - b).abs() / b.abs().clamp(min=1e-300)).max())


def rise_of_log_snr(schedule):
    """The largest step of log_snr along falling noise: below 0 where it falls strictly."""
    return float(schedule.log_snr(dense()).diff().max())


def slope(function, t, h=1e-5):
    """The fourth-order central difference: error h⁴ f⁗⁗′/30 + 1e-16 f/h."""
    return (8 * (function(t + h) - function(t - h)) - (function(t + 2 * h) - function(t - 2 * h))) / (12 * h)


def drift_error(schedule):
    """f against the slope of log α, absolute in units of 1 + |f|."""
    f = schedule.drift(TIMES)
    return float(((f - slope(lambda t: schedule.alpha(t).log(), TIMES)).abs() / (1 + f.abs())).max())


def diffusion_error(schedule):
    """g² against (σ²)′ − 2 f σ², and against the variance that a short step of the process adds."""
    g2, f = schedule.diffusion2(TIMES), schedule.drift(TIMES)
    other = slope(lambda t: schedule.sigma(t) ** 2, TIMES) - 2 * f * schedule.sigma(TIMES) ** 2
    h = 1e-6
    # the noise added around t, as it stands at t: the scaling by α after t undone, which leaves an error of order h²
    scale = schedule.alpha(TIMES) / schedule.alpha(TIMES + h)
    added = (scale * schedule.ratio(TIMES - h, TIMES + h)[1]) ** 2 / (2 * h)
    return max(relative(other, g2), relative(added, g2))


@every_schedule
def test_data_are_whole_at_zero_and_noise_is_present_after(schedule):
    t = dense()
    assert schedule.alpha(0.0) == 1
    assert schedule.sigma(0.0) == 0
    assert (schedule.alpha(t) > 0).all()
    assert (schedule.sigma(t) > 0).all()


@every_schedule
def test_the_signal_to_noise_ratio_falls_strictly(schedule):
    assert rise_of_log_snr(schedule) < 0
    assert schedule.log_snr(0.0) == math.inf
    ends = schedule.log_snr(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends[0] == math.inf
    assert float(ends[1]) == pytest.approx(schedule.log_snr(1.0), rel=1e-12) or schedule.alpha(1.0) < 1e-15


@every_schedule
def test_numbers_and_tensors_of_times_agree(schedule):
    for function in (schedule.alpha, schedule.sigma, schedule.log_snr, schedule.drift, schedule.diffusion2):
        one_by_one = torch.tensor([function(float(t)) for t in TIMES], dtype=torch.float64)
        torch.testing.assert_close(function(TIMES), one_by_one, rtol=1e-11, atol=1e-11)


@every_schedule
def test_the_drift_is_the_slope_of_log_alpha(schedule):
    assert drift_error(schedule) < 1e-6


@every_schedule
def test_the_diffusion_is_what_a_short_step_adds(schedule):
    assert diffusion_error(schedule) < 1e-5


@every_schedule
def test_slopes_are_those_of_finite_differences(schedule):
    for function, dot in ((schedule.alpha, schedule.alpha_dot), (schedule.sigma, schedule.sigma_dot)):
        torch.testing.assert_close(dot(TIMES), slope(function, TIMES), rtol=1e-6, atol=1e-6)


@every_schedule
def test_time_is_found_from_the_signal_to_noise_ratio(schedule):
    t = torch.cat((TIMES, torch.tensor([1e-4, 1e-3, 0.25, 0.9995], dtype=torch.float64)))
    torch.testing.assert_close(schedule.time_of(schedule.log_snr(t)), t, rtol=1e-9, atol=1e-9)
    assert schedule.time_of(schedule.log_snr(0.37)) == pytest.approx(0.37, abs=1e-9)


@every_schedule
def test_two_steps_are_one_longer_step(schedule):
    r, s, t = torch.tensor(
        [[0.0, 0.1, 0.5, 0.001], [0.2, 0.4, 0.7, 0.5], [0.3, 0.9, 0.999, 0.502]], dtype=torch.float64
    )
    (a1, b1), (a2, b2), (a, b) = schedule.ratio(r, s), schedule.ratio(s, t), schedule.ratio(r, t)
    torch.testing.assert_close(a1 * a2, a, rtol=1e-12, atol=0)
    torch.testing.assert_close(b2**2 + (a2 * b1) ** 2, b**2, rtol=1e-11, atol=0)


def test_the_ddpm_table_is_the_published_one_at_its_grid_points():
    betas = torch.tensor([1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)], dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - betas, 0)
    schedule, t = LinearBeta(), torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(schedule.betas(), betas, rtol=1e-15, atol=0)
    torch.testing.assert_close(schedule.alpha(t) ** 2, alpha_bar, rtol=1e-12, atol=0)
    torch.testing.assert_close(schedule.sigma(t) ** 2, 1 - alpha_bar, rtol=1e-12, atol=0)
    # ᾱ_T of Ho et al. 2020 is 4.0358e-5, β_1 and β_T as printed
    assert float(alpha_bar[-1]) == pytest.approx(4.0358e-5, rel=1e-4)
    assert [float(b) for b in (betas[0], betas[-1])] == pytest.approx([1e-4, 0.02], rel=1e-15)


def test_one_step_of_the_table_has_its_beta():
    schedule = LinearBeta()
    for i in (1, 2, 500, 1000):
        ratio, sigma = schedule.ratio((i - 1) / 1000, i / 1000)
        beta = float(schedule.betas()[i - 1])
        assert ratio**2 == pytest.approx(1 - beta, rel=1e-12)
        assert sigma**2 == pytest.approx(beta, rel=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 50, 4000])
def test_a_table_has_any_number_of_steps(steps):
    schedule = LinearBeta(steps=steps)
    product = float(torch.cumprod(1 - schedule.betas(), 0)[-1])
    assert schedule.alpha(1.0) ** 2 == pytest.approx(product, rel=1e-12)


def test_the_cosine_table_is_the_published_function_until_its_clip():
    schedule = Cosine()
    f = [math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(1001)]
    for i in (1, 10, 500, 900, 998):
        assert schedule.alpha(i / 1000) ** 2 == pytest.approx(f[i] / f[0], rel=1e-10)
    clipped = (schedule.betas() == 0.999).nonzero().flatten().tolist()
    assert clipped == [999]
    assert schedule.alpha(1.0) > 0
    assert 1 - f[1000] / f[999] > 0.999


def test_a_zero_terminal_schedule_leaves_nothing_and_changes_the_start_little():
    inner = LinearBeta()
    schedule = ZeroTerminal(inner)
    assert schedule.alpha(1.0) == 0
    assert schedule.sigma(1.0) == 1
    assert schedule.log_snr(1.0) == -math.inf
    # Lin et al. 2023, algorithm 1: √ᾱ shifted so that the last is 0, scaled so that the first stays
    root = inner.alpha(torch.arange(1001, dtype=torch.float64) / 1000)
    expected = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    torch.testing.assert_close(
        schedule.alpha(torch.arange(1001, dtype=torch.float64) / 1000), expected, rtol=1e-12, atol=1e-15
    )


def test_the_continuous_schedule_is_the_limit_of_the_table():
    t = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    gaps = [
        relative(LinearBeta(steps, 0.1 / steps, 20 / steps).alpha(t), VpLinear().alpha(t)) for steps in (1000, 4000)
    ]
    # the gap falls as 1/T
    assert gaps[0] < 0.06
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.1)


def test_the_schedules_of_the_score_papers_have_their_closed_forms():
    t = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    big_b = 0.1 * t + 0.5 * t**2 * 19.9
    torch.testing.assert_close(VpLinear().alpha(t), (-0.5 * big_b).exp())
    torch.testing.assert_close(VpLinear().drift(t), -0.5 * (0.1 + 19.9 * t))
    torch.testing.assert_close(VpLinear().diffusion2(t), 0.1 + 19.9 * t)
    torch.testing.assert_close(SubVp().sigma(t), VpLinear().sigma(t) ** 2)
    torch.testing.assert_close(SubVp().diffusion2(t), (0.1 + 19.9 * t) * (1 - (-2 * big_b).exp()))
    torch.testing.assert_close(Ve().sigma(t) ** 2 + 0.01**2, (0.01 * 5000**t) ** 2)
    torch.testing.assert_close(Ve().diffusion2(t), (0.01 * 5000**t) ** 2 * 2 * math.log(5000))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LinearBeta(steps=0), lambda: LinearBeta(start=0.5, end=0.1), lambda: LinearBeta(end=1.0),
        lambda: Ve(sigma_min=2.0, sigma_max=1.0), lambda: VpLinear(beta_min=-1.0), lambda: Cosine(offset=-0.1),
        lambda: ZeroTerminal(Ve()),
    ],
)  # fmt: skip
def test_a_schedule_refuses_numbers_that_make_none(wrong):
    with pytest.raises(ValueError, match=r"needs|must"):
        wrong()


@dataclass(frozen=True)
class Rising(VpCosine):
    """A mutant whose noise comes back: σ = sin(πt)."""

    def sigma(self, t):
        return torch.sin(math.pi * t)


class Mutant(Schedule):
    """VpLinear with one derived quantity off by the factor of two that published toolkits have shipped."""

    def __init__(self, **scales):
        self.scales = scales

    def alpha(self, t):
        return VpLinear().alpha(t)

    def sigma(self, t):
        return VpLinear().sigma(t)

    def drift(self, t):
        return VpLinear().drift(t) * self.scales.get("drift", 1)

    def diffusion2(self, t):
        return VpLinear().diffusion2(t) * self.scales.get("diffusion", 1)


def test_the_laws_reject_a_schedule_that_is_wrong():
    assert rise_of_log_snr(Rising()) > 0
    assert drift_error(Mutant(drift=2)) > 0.1
    assert diffusion_error(Mutant(diffusion=2)) > 0.05
    assert drift_error(Mutant()) < 1e-6
    assert diffusion_error(Mutant()) < 1e-5
