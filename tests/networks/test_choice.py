"""The network that is used when nobody chooses."""

import pytest
import torch

from reverie.core import catalog
from reverie.networks import flops, suggest

SHAPES = [
    (2,),
    (30,),
    (1, 8, 8),
    (1, 28, 28),
    (3, 32, 32),
    (3, 64, 64),
    (3, 256, 256),
    (2, 200),
    (1, 16, 16, 16),
    (3, 1, 1),
    (1, 3, 200),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("minutes", [0.5, 10.0, 600.0])
def test_the_suggestion_can_be_built_and_says_only_plain_things(shape, minutes):
    config = suggest(shape, 1000, minutes)
    network = catalog.build("networks", config, shape=shape, classes=2).to("meta")
    assert network(torch.empty(1, *shape, device="meta"), torch.empty(1, device="meta")).shape == (1, *shape)


def test_larger_images_do_not_cost_out_of_proportion():
    cost = [flops(catalog.build("networks", suggest((3, n, n), 1000, 10.0), shape=(3, n, n))) for n in (32, 64, 128)]
    assert cost[1] <= 8 * cost[0]
    assert cost[2] <= 8 * cost[1]
