"""Arithmetic chosen for speed changes rounding, not the function. Nothing here looks at a clock."""

import pytest
import torch

from reverie.core.rng import Rng
from reverie.networks import Unet, compiles, initialise, keep_memory, precision


def test_keeping_memory_is_safe_to_ask_for_twice():
    assert keep_memory() is keep_memory()


def test_bf16_agrees_with_fp32_to_its_rounding():
    network = Unet(shape=(1, 8, 8), width=16)
    network.exit.gain = 1.0
    initialise(network, 0)
    x, noise = Rng(1).normal(torch.empty(64, 1, 8, 8)), torch.zeros(64)
    exact = network(x, noise).detach()
    with precision("bf16", "cpu")():
        rounded = network(x, noise).detach()
    assert rounded.dtype == torch.bfloat16
    # some ten layers deep, each rounding by 2⁻⁹ relative
    assert float((rounded - exact).std() / exact.std()) < 10 * 2**-9


def test_fp32_leaves_everything_as_it_is():
    network, x = Unet(shape=(1, 8, 8), width=8), torch.ones(1, 1, 8, 8)
    with precision("fp32", "cpu")():
        assert network(x, torch.zeros(1)).dtype == torch.float32


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="auto, fp32 or bf16"):
        precision("fp8", "cpu")


@pytest.mark.parametrize(
    ("mode", "device", "minutes", "wanted"),
    [
        ("auto", "cpu", 600.0, False),
        ("auto", "cuda", 600.0, True),
        ("auto", "cuda", 1.0, False),
        ("on", "cpu", 0.0, True),
        ("off", "cuda", 600.0, False),
    ],
)
def test_a_network_is_compiled_on_a_gpu_for_long_or_where_asked(mode, device, minutes, wanted):
    assert compiles(mode, device, minutes) is wanted
