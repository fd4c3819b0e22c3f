"""How networks begin."""

import pytest
import torch
from torch import nn

from reverie.networks import Mlp, initialise
from reverie.networks.layers import Linear


def test_weights_have_the_stated_spread():
    layer = initialise(Linear(400, 300, gain=0.5), 0)
    # 120,000 draws: five standard errors of a standard deviation, 1/√(2n)
    assert float(layer.weight.detach().std()) == pytest.approx(0.5 / 20, rel=5 / (2 * 120_000) ** 0.5)
    assert not layer.bias.any()


def test_adding_a_layer_leaves_the_others_as_they_were():
    short, long = Mlp(shape=(2,), depth=1), Mlp(shape=(2,), depth=2)
    assert all(torch.equal(value, long.state_dict()[name]) for name, value in short.state_dict().items())


def test_equal_shapes_get_different_weights():
    network = Mlp(shape=(2,), depth=2)
    assert not torch.equal(network.blocks[0].first.weight, network.blocks[1].first.weight)


def test_a_parameter_without_a_rule_is_refused():
    with pytest.raises(ValueError, match="weight"):
        initialise(nn.Sequential(nn.LayerNorm(3)), 0)
