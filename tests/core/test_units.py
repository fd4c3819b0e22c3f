"""Units: nats, bits per dimension, and the cost of naming a level."""

from __future__ import annotations

import math

import pytest
import torch

from reverie.core.units import bits_per_dim, level_bits, level_nats, level_width, native_nats, nats


def test_a_uniform_density_over_all_levels_costs_eight_bits() -> None:
    width = 256 * level_width(256)
    cost = math.log(width) + level_nats(256)
    assert abs(bits_per_dim(cost, 1) - 8) < 1e-12


def test_bits_and_nats_are_inverse() -> None:
    cost = torch.tensor([1.0, 250.0], dtype=torch.float64)
    assert torch.allclose(nats(bits_per_dim(cost, 784), 784), cost)


def test_the_jacobian_counts_every_dimension_of_every_channel() -> None:
    assert native_nats((2.0, 3.0), 8) == pytest.approx(4 * math.log(2) + 4 * math.log(3))
    # a density in model units, read in bytes: one more nat for each e-fold of the spread
    assert native_nats((127.5,), 3) == pytest.approx(3 * math.log(127.5))
    assert level_bits(256) == pytest.approx(math.log2(127.5))


def test_impossible_counts_are_refused() -> None:
    for call in (lambda: bits_per_dim(1.0, 0), lambda: level_width(1), lambda: native_nats((1.0, 2.0), 3)):
        with pytest.raises(ValueError, match=r"at least|divide"):
            call()
