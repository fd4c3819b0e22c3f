"""Weights on the error of x̂0: each the closed form of its paper, for numbers and tensors alike."""

import math

import pytest
import torch

from reverie.core import catalog
from reverie.losses import EdmWeight, Flat, MinSnr, SigmaSquared, Simple, Snr, SnrPlusOne, TruncatedSnr

LOG_SNR = [-9.0, -1.0, 0.0, 0.5, 2.0, 9.0]
NAMES = catalog.names("losses", "Weight")


@pytest.mark.parametrize("name", NAMES)
def test_a_number_and_a_tensor_get_the_same_positive_weight(name):
    weight = catalog.build("losses", {"name": name})
    together = weight(torch.tensor(LOG_SNR, dtype=torch.float64))
    assert together.tolist() == pytest.approx([weight(x) for x in LOG_SNR], rel=1e-14)
    assert (together > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_pure_noise_has_a_finite_weight(name):
    weight = catalog.build("losses", {"name": name})
    assert math.isfinite(weight(-math.inf)) or name == "flat"


@pytest.mark.parametrize(
    ("weight", "formula"),
    [
        (Simple(), lambda snr: snr),
        (SigmaSquared(), lambda snr: snr),
        (Flat(), lambda snr: 1.0),
        (Snr(0.5), lambda snr: snr**0.5),
        (TruncatedSnr(), lambda snr: max(snr, 1.0)),
        (SnrPlusOne(), lambda snr: snr + 1),
        (MinSnr(5.0), lambda snr: min(snr, 5.0)),
        # (r² + s²)/(r s)² with r = σ/α, as Karras et al. 2022 write it for α = 1
        (EdmWeight(0.5), lambda snr: (1 / snr + 0.25) / (0.25 / snr)),
    ],
    ids=lambda x: repr(x) if not callable(x) or hasattr(x, "__dataclass_fields__") else "",
)
def test_a_weight_is_its_papers_formula(weight, formula):
    for log_snr in LOG_SNR:
        assert weight(log_snr) == pytest.approx(formula(math.exp(log_snr)), rel=1e-12)
