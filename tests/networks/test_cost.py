"""Parameters and arithmetic, against counts by hand."""

from reverie.networks import Mlp, Unet, flops, parameters


def test_an_mlp_costs_what_its_layers_cost():
    network = Mlp(shape=(2,), width=8, depth=1)
    linear = {"inner": (32, 8), "outer": (8, 8), "entry": (2, 8), "first": (8, 8), "second": (8, 8)}
    linear |= {"modulation": (8, 16), "exit": (8, 2)}
    assert parameters(network) == sum((a + 1) * b for a, b in linear.values())
    assert flops(network) == sum(2 * a * b for a, b in linear.values())


def test_a_unet_costs_what_its_convolutions_cost():
    """8×8 pixels folded to 4×4, one level below at 2×2, attention there."""
    network = Unet(shape=(1, 8, 8), width=4, multipliers=(1, 2), depth=1, attention=(-1,), patch=2)
    embed = 4 * 4
    convolutions = [  # inputs, outputs, kernel pixels, output pixels
        (4, 4, 9, 16), (4, 4, 9, 16), (4, 4, 9, 16),  # entry, first and second of the fine block
        (4, 8, 9, 4), (8, 8, 9, 4), (8, 8, 9, 4),  # halving, the coarse block
        (8, 4, 1, 4), (4, 4, 9, 16), (4, 4, 9, 16),  # widening, the block after the shortcut
        (4, 4, 9, 16),  # exit
    ]  # fmt: skip
    linear = [(32, embed), (embed, embed), (embed, 8), (embed, 16), (embed, 8)]
    attention = 3 * 8 * 8 + 8 * 8
    assert parameters(network) == (
        sum((a * k + 1) * b for a, b, k, _ in convolutions) + sum((a + 1) * b for a, b in linear) + attention + 8
    )
    assert flops(network) == 2 * (
        sum(a * b * k * n for a, b, k, n in convolutions)
        + sum(a * b for a, b in linear)
        + 4 * attention  # four pixels
        + 2 * 4 * 4 * 8  # q·k and the mixing of v
    )


def test_counting_leaves_the_network_where_it_was():
    network = Mlp(shape=(2,))
    flops(network)
    assert {p.device.type for p in network.parameters()} == {"cpu"}
