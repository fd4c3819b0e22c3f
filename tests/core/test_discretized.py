"""The discretised normal against fifty digits, bin by bin: a sum over bins telescopes and would hide a wrong cdf."""

from __future__ import annotations

import mpmath
import pytest
import torch

from reverie.core.discretized import DiscretizedNormal, log_interval

SCALES = (1e-6, 1e-4, 1e-2, 0.3, 10.0)
MEANS = (-1.7, -1.0, -0.3141592, 0.0, 0.9999, 1.0, 2.5)


def exact_log(mean: float, std: float, k: int, bins: int) -> float:
    """log of the bin's mass with fifty digits, by the complementary error function on the near side."""
    with mpmath.workdps(50):
        half = mpmath.mpf(1) / (bins - 1)
        z = (2 * half * k - 1 - mpmath.mpf(mean)) / mpmath.mpf(std)
        h = half / mpmath.mpf(std)
        low = -mpmath.inf if k == 0 else z - h
        high = mpmath.inf if k == bins - 1 else z + h
        if low > 0:
            low, high = -high, -low
        mass = (mpmath.erfc(-high / mpmath.sqrt(2)) - mpmath.erfc(-low / mpmath.sqrt(2))) / 2
        return float(mpmath.log(mass))


def table(mean: float, std: float, bins: int) -> torch.Tensor:
    levels = torch.linspace(-1, 1, bins, dtype=torch.float64)[:, None]
    return DiscretizedNormal(torch.full_like(levels, mean), std, bins).log_probs(levels)[:, 0]


@pytest.mark.parametrize("std", SCALES)
@pytest.mark.parametrize("mean", MEANS)
def test_every_bin_agrees_with_fifty_digits(mean: float, std: float) -> None:
    found = table(mean, std, 256)
    for k in (0, 1, 2, 80, 87, 127, 128, 129, 200, 253, 254, 255):
        truth = exact_log(mean, std, k, 256)
        assert abs(found[k].item() - truth) <= 1e-10 * max(1.0, abs(truth)), (k, found[k].item(), truth)


@pytest.mark.parametrize("bins", [2, 3, 17, 256, 65536])
def test_the_bins_sum_to_one(bins: int) -> None:
    for mean, std in ((-1.3, 0.01), (0.2, 0.5), (0.999, 1e-5), (4.0, 3.0)):
        assert abs(table(mean, std, bins).exp().sum().item() - 1) < 1e-11


def test_log_probability_and_gradients_are_finite_everywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    std = 10 ** (torch.rand(20_000, 1, generator=generator, dtype=torch.float64) * 7 - 6)
    mean = 4 * torch.rand(20_000, 1, generator=generator, dtype=torch.float64) - 2
    x = torch.randint(0, 256, (20_000, 1), generator=generator) * (2 / 255) - 1
    mean.requires_grad_()
    std.requires_grad_()
    cost = DiscretizedNormal(mean, std).log_prob(x)
    gradients = torch.autograd.grad(cost.sum(), (mean, std))
    assert torch.isfinite(cost).all()
    assert all(torch.isfinite(g).all() for g in gradients)


def test_the_gradient_is_the_derivative() -> None:
    mean = torch.tensor([[-0.2], [0.7], [1.2], [0.0]], dtype=torch.float64, requires_grad=True)
    std = torch.tensor([[1e-2], [0.3], [0.2], [9.0]], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[-1.0], [1.0], [31 / 255], [1 / 255]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m, s: DiscretizedNormal(m, s).log_prob(x), (mean, std))


def test_a_level_stored_in_single_precision_is_the_same_level() -> None:
    level = torch.arange(256, dtype=torch.float64)[:, None] * 2 / 255 - 1
    sharp = DiscretizedNormal(torch.zeros(256, 1, dtype=torch.float64), 1e-3)
    assert torch.equal(sharp.log_prob(level), sharp.log_prob(level.float()))


def test_a_wide_normal_is_nearly_its_density() -> None:
    h = torch.tensor([1e-7, 1e-5], dtype=torch.float64)
    z = torch.tensor([0.3, -2.0], dtype=torch.float64)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(z) + (2 * h).log()
    assert torch.allclose(log_interval(z, h), density, atol=1e-9, rtol=0)


def test_the_tanh_cdf_of_published_code_is_rejected() -> None:
    """It sums to one to 1e-14, and is wrong in single bins by up to 2e-4 in mass: the comparison above must see it."""
    bins, std = 256, 0.3

    def tanh_cdf(z: torch.Tensor) -> torch.Tensor:
        return 0.5 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3)))

    edges = (torch.linspace(-1, 1, bins, dtype=torch.float64)[:-1] + 1 / 255) / std
    cdf = torch.cat((torch.zeros(1), tanh_cdf(edges), torch.ones(1)))
    mutant = cdf.diff()
    assert abs(mutant.sum().item() - 1) < 1e-13
    worst = max(
        abs(mutant[k].item() - torch.tensor(exact_log(0.0, std, k, bins)).exp().item()) for k in range(1, 255, 3)
    )
    assert worst > 1e-7  # against 1e-10 demanded above
