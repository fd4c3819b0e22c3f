"""Entropy bounds of reverse steps, rate against distortion, and the page on work."""

from __future__ import annotations

import pytest
import torch

from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.denoisers import GaussianData
from reverie.denoisers.decoder import Discretised
from reverie.likelihoods import Elbo
from reverie.likelihoods.thermodynamics import entropy_bounds, rate_distortion, reverse_entropy
from reverie.processes import Gaussian, LinearBeta, Schedule, VpCosine, VpLinear


def oracle(schedule: Schedule, std: float) -> GaussianData:
    return GaussianData(
        Gaussian(schedule), torch.zeros(4, dtype=torch.float64), torch.full((4,), std, dtype=torch.float64)
    )


@pytest.mark.parametrize("schedule", [LinearBeta(50), VpLinear(), VpCosine()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("std", [1e-4, 0.5, 1.0])
def test_the_true_reverse_entropy_lies_between_its_bounds(schedule: Schedule, std: float) -> None:
    """At the lower one for a point, at the upper one for data of unit variance (variance-preserving noise)."""
    denoiser = oracle(schedule, std)
    x0 = std * Rng(0).normal(torch.empty(10, 4, dtype=torch.float64))
    low, high = entropy_bounds(denoiser.process, 50, dimensions=4)
    true = reverse_entropy(denoiser, x0, steps=50, rng=Rng(1))
    assert (low <= true + 1e-9).all()
    assert (true <= high + 1e-9).all()
    if std == 1.0:
        assert torch.allclose(true, high)
    fixed = [reverse_entropy(denoiser, x0, steps=50, rng=Rng(1), v=v) for v in (0.0, 1.0)]
    assert torch.allclose(torch.stack(fixed), torch.stack((low, high)))
    if std == 1e-4 and not isinstance(schedule, LinearBeta):
        assert torch.allclose(true, low, atol=2e-3)


def test_a_mutant_that_swaps_the_bounds_is_rejected() -> None:
    low, high = entropy_bounds(Gaussian(VpCosine()), 20)
    assert (low < high).all()
    with pytest.raises(ValueError, match="at least 2"):
        entropy_bounds(Gaussian(VpCosine()), 1)


def test_rate_rises_as_distortion_falls_and_ends_at_the_bound() -> None:
    denoiser = oracle(LinearBeta(100, 1e-3, 0.2), 0.5)
    x0 = (0.5 * Rng(0).normal(torch.empty(400, 4, dtype=torch.float64)) * 8).round().clamp(-8, 8) / 8
    elbo = Elbo(steps=100, terms=20, decoder=Discretised(17))
    found = rate_distortion(elbo, denoiser, x0, rng=Rng(1), points=12)
    assert (found.t.diff() < 0).all()
    assert (found.rate.diff() > -1e-9).all()
    assert (found.distortion.diff() < 0.01).all()
    assert found.distortion[0] == pytest.approx(x0.square().mean().sqrt().item(), rel=0.02)  # nothing is known yet
    whole = bits_per_dim(elbo(denoiser, x0, rng=Rng(1)).total.mean(), 4)
    assert found.rate[-1] == pytest.approx(whole.item())
    with pytest.raises(ValueError, match="at least 2"):
        rate_distortion(elbo, denoiser, x0, rng=Rng(1), points=1)


def test_the_page_on_work_shows_three_widths_and_one_free_energy() -> None:
    pytest.importorskip("matplotlib")
    from reverie.explain.jarzynski import jarzynski

    page = jarzynski(paths=1500)
    left, right = page.figure.axes
    assert len(right.get_lines()) == 9
    assert "W" in left.get_xlabel()
    for steps in (4, 16, 64):
        free, error, truth = (
            page.numbers[f"{steps} steps: {name}"]
            for name in ("free energy from all paths, nats", "its standard error", "ΔF = −log p(x₀) in closed form")
        )
        assert abs(free - truth) < 4 * error
