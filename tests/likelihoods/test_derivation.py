"""The bound's derivation as arithmetic: three forms with one mean, and their variances."""

from __future__ import annotations

import itertools

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import Mixture
from reverie.likelihoods.derivation import bridge_form, chain_form, path_form
from reverie.processes import Gaussian, Schedule, VpCosine, VpLinear

FORMS = {"path": path_form, "chain": chain_form, "bridge": bridge_form}


def oracle(schedule: Schedule) -> Mixture:
    means = torch.tensor([[-0.7, 0.2], [0.8, 0.1]], dtype=torch.float64)
    stds = torch.tensor([0.4, 0.6], dtype=torch.float64)
    return Mixture(Gaussian(schedule), torch.tensor([0.4, 0.6], dtype=torch.float64), means, stds)


@pytest.mark.parametrize("schedule", [VpCosine(), VpLinear()], ids=["cosine", "linear"])
@pytest.mark.parametrize("steps", [3, 10])
def test_all_three_forms_have_one_mean(schedule: Schedule, steps: int) -> None:
    denoiser = oracle(schedule)
    x0 = torch.tensor([[0.3, -0.2]], dtype=torch.float64).expand(30_000, 2)
    costs = {name: form(denoiser, x0, steps=steps, rng=Rng(1).fork(name), v=1.0) for name, form in FORMS.items()}
    for a, b in itertools.combinations(costs.values(), 2):
        error = ((a.var() + b.var()) / len(x0)).sqrt()
        assert abs(a.mean() - b.mean()) < 4 * error


@pytest.mark.parametrize("steps", [10, 30])
def test_the_bridge_form_varies_far_less_than_the_chain(steps: int) -> None:
    """And the path's work less than both where the reversal is nearly exact, being constant for an exact one."""
    denoiser = oracle(VpCosine())
    x0 = torch.tensor([[0.3, -0.2]], dtype=torch.float64).expand(4000, 2)
    variance = {name: float(form(denoiser, x0, steps=steps, rng=Rng(2)).var()) for name, form in FORMS.items()}
    assert variance["path"] < variance["bridge"] < 0.2 * variance["chain"], variance


def test_the_divergence_often_printed_for_the_chain_is_another_number() -> None:
    """KL(q(x_i | x_{i−1}) ‖ p(x_i | x_{i+1})) with x_{i+1} drawn after x_i takes the two for independent."""
    denoiser = oracle(VpCosine())
    process = denoiser.process
    x0 = torch.tensor([[0.3, -0.2]], dtype=torch.float64).expand(8000, 2)
    low, here, high = 0.4, 0.5, 0.6
    start = process.marginal(x0, low).sample(Rng(0))
    up = process.transition(start, low, here)
    middle = up.sample(Rng(1))
    down = process.reverse(
        denoiser(end := process.transition(middle, here, high).sample(Rng(2)), high), end, here, high
    )
    right, printed = up.log_prob(middle) - down.log_prob(middle), up.kl(down)
    error = ((right.var() + printed.var()) / len(x0)).sqrt()
    assert printed.mean() - right.mean() > 8 * error


def test_a_mutant_with_the_forward_variance_in_the_bridge_is_rejected() -> None:
    class Mutant(Gaussian):
        def bridge(self, x0, xt, s, t):  # type: ignore[no-untyped-def]
            honest = super().bridge(x0, xt, s, t)
            honest.std = torch.as_tensor(self.schedule.ratio(s, t)[1]).to(x0).reshape(-1, 1)
            return honest

    denoiser = oracle(VpCosine())
    x0 = torch.tensor([[0.3, -0.2]], dtype=torch.float64).expand(8000, 2)
    honest = path_form(denoiser, x0, steps=10, rng=Rng(1), v=1.0)
    denoiser.process = Mutant(VpCosine())
    wrong = bridge_form(denoiser, x0, steps=10, rng=Rng(2), v=1.0)
    error = ((honest.var() + wrong.var()) / len(x0)).sqrt()
    assert abs(honest.mean() - wrong.mean()) > 6 * error
