"""The parts of a convolutional network against what they say they are."""

import pytest
import torch

from reverie.core.rng import Rng
from reverie.networks.blocks import Attention, double, fold, folded, unfold
from reverie.networks.embedding import channel_dropout, waves_of_position
from reverie.networks.layers import channel_norm, convolution
from reverie.networks.unet import Unet
from reverie.networks.weights import initialise

SHAPES = [(1, 8, 8), (3, 7, 5), (2, 13), (5, 1, 9), (1, 5, 6, 7), (1, 1, 1)]


def normal(*shape):
    return Rng(3).normal(torch.empty(*shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("patch", [1, 2, 3])
def test_unfold_inverts_fold(shape, patch):
    x = normal(2, *shape)
    inside = fold(x, patch)
    assert inside.shape[1] == folded(shape, patch)
    assert inside.shape[2:] == tuple(n if n == 1 else -(-n // patch) for n in shape[1:])
    assert torch.equal(unfold(inside, patch, shape[1:]), x)


def test_fold_is_pixel_unshuffle_up_to_the_order_of_channels():
    x = normal(2, 3, 8, 6)
    wanted = torch.nn.functional.pixel_unshuffle(x, 2)
    assert torch.equal(fold(x, 2).sort(1).values, wanted.sort(1).values)


def test_fold_repeats_the_border():
    x = torch.arange(3.0).reshape(1, 1, 3)
    assert fold(x, 2).tolist() == [[[0.0, 2.0], [1.0, 2.0]]]


@pytest.mark.parametrize("size", [(4, 4), (3, 4), (1, 5), (1, 1), (3, 3, 5)])
def test_double_meets_the_pixel_that_halving_took(size):
    """Stride 2 makes coarse pixel i from around fine pixel 2i: doubling gives fine pixels 2i and 2i + 1 the value i."""
    coarse = normal(1, 2, *(-(-n // 2) for n in size))
    fine = double(coarse, torch.Size(size))
    assert fine.shape[2:] == size
    index = [torch.arange(n) // 2 for n in size]
    assert torch.equal(fine[0, 0], coarse[0, 0][tuple(torch.meshgrid(*index, indexing="ij"))])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_halving_rounds_up_and_one_axis_is_an_image_of_height_one(axes):
    layer = convolution(axes, 2, 4, stride=2)
    space = {1: (1, 7), 2: (7, 4), 3: (7, 4, 1)}[axes]
    initialise(layer, 0)
    assert layer(torch.zeros(1, 2, *space)).shape[2:] == tuple(-(-n // 2) for n in space)


def test_channel_norm_is_normalisation_over_channels():
    x = normal(2, 5, 3, 4)
    wanted = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(channel_norm(x), wanted)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_equals_the_reference(heads):
    layer = initialise(Attention(8, heads=heads), 0).double()
    x = normal(2, 8, 3, 5)
    tokens = torch.nn.functional.layer_norm(x.flatten(2).transpose(1, 2), (8,))
    q, k, v = (layer.into(tokens).chunk(3, 2)[i].unflatten(2, (heads, -1)).transpose(1, 2) for i in range(3))
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x), x + layer.out(mixed).transpose(1, 2).reshape(x.shape))


def test_attention_refuses_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match="3 heads"):
        Attention(8, heads=3)


def test_dropout_silences_the_stated_share_of_channels_and_keeps_the_mean():
    x, noise = torch.ones(400, 64, 2, 2), Rng(0).normal(torch.empty(400, 1))[:, 0]
    out = channel_dropout(x, noise, rate=0.25, layer=0)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(out.amax((2, 3)), out.amin((2, 3)))
    # 25,600 independent channels: five standard errors of the mean, √(r/(1 − r)/n)
    assert float(out.mean()) == pytest.approx(1, abs=5 * (0.25 / 0.75 / 25_600) ** 0.5)


def test_dropout_is_a_function_of_the_example_and_the_layer():
    x, noise = torch.ones(8, 64), torch.linspace(-1, 1, 8)
    first = channel_dropout(x, noise, rate=0.5, layer=0)
    assert torch.equal(first[3:5], channel_dropout(x[3:5], noise[3:5], rate=0.5, layer=0))
    assert not torch.equal(first, channel_dropout(x, noise, rate=0.5, layer=1))
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("size", [(37,), (1, 64), (7, 5), (3, 4, 5)])
def test_waves_of_position_are_different_everywhere_and_of_mean_square_one(size):
    waves = waves_of_position(size, 4)
    assert waves.shape == (8 * len(size), *size)
    places = waves.flatten(1).T.double()
    distance = torch.cdist(places, places) + torch.eye(len(places)) * 9
    assert float(distance.min()) > 0.05
    assert float(waves[:4].square().mean() + waves[4:8].square().mean()) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize(("places", "alike"), [(0, True), (5, False)])
def test_a_network_without_places_does_not_know_where_it_is(places, alike):
    """Far from the border a convolution answers the same everywhere, unless it is told the position."""
    network = Unet(shape=(1, 128), width=8, multipliers=(1, 2), attention=(), places=places)
    network.exit.gain = 1.0
    out = initialise(network, 0)(torch.ones(1, 1, 128), torch.zeros(1))[0, 0, 32:96:2]
    assert bool((out - out[0]).abs().max() < 1e-4) is alike


def test_a_network_made_without_places_has_the_weights_it_always_had():
    plain = Unet(shape=(1, 16), width=8).state_dict()
    assert plain["entry.weight"].shape == (8, 1, 1, 3)
    assert not any("positions" in name for name in plain)
