"""Parzen windows against the density they must be, and the choice of the width."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.metrics.parzen import WIDTHS, parzen


def test_one_sample_gives_a_normal_density():
    x = Rng(0).normal(torch.empty(5, 3, dtype=torch.float64))
    nats, width = parzen(torch.zeros(1, 3), x, validation=x, widths=(1.0,))
    torch.testing.assert_close(nats, -0.5 * x.square().sum(1) - 1.5 * math.log(2 * math.pi))
    assert width == 1.0


def test_many_samples_of_a_normal_law_come_near_its_density():
    draw = lambda k, n: Rng(k).normal(torch.empty(n, 1, dtype=torch.float64))  # noqa: E731
    x = draw(2, 500)
    nats, width = parzen(draw(0, 4000), x, validation=draw(1, 500))
    exact = float((-0.5 * x.square() - 0.5 * math.log(2 * math.pi)).mean())
    assert abs(float(nats.mean()) - exact) < 0.05
    assert width in WIDTHS


def test_without_examples_there_is_no_estimate():
    with pytest.raises(ValueError, match="Parzen"):
        parzen(torch.zeros(0, 3), torch.zeros(1, 3), validation=torch.zeros(1, 3))
