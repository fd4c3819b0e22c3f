"""Laws of networks: every entry × every shape. A function of the arguments alone, row by row, that starts at zero."""

import copy

import pytest
import torch

from reverie.core import catalog
from reverie.core.rng import Rng
from reverie.networks import Network, initialise, parameters

ENTRIES = catalog.names("networks", "Network")
SHAPES = [(2,), (1, 8, 8), (3, 7, 5), (2, 13), (5, 1, 9), (1, 1, 1), (1, 5, 6, 3), (37, 3, 4)]
SMALL = {"width": 8, "depth": 1, "multipliers": [1, 2, 2], "attention": [1], "patch": 2, "code": 4, "heads": 2}
ROWS = 4


def takes(key, shape):
    """Whether the entry is meant for the shape: convolutions have nothing to slide over in a vector."""
    return len(shape) > 1 or key in ("mlp", "autoencoder")


PAIRS = [(key, shape) for key in ENTRIES for shape in SHAPES if takes(key, shape)]
named = pytest.mark.parametrize(("key", "shape"), PAIRS, ids=lambda value: str(value))


def make(key, shape, *, awake=True, **given):
    """A small network of the entry; `awake` gives its last layers weights, so that it answers something."""
    known = {option.name for option in catalog.options("networks", key)}
    config = {"name": key, **{k: v for k, v in SMALL.items() if k in known}}
    network = catalog.build("networks", config, shape=shape, **{"classes": 3, "conditions": 2, **given})
    if awake:
        for module in network.modules():
            if getattr(module, "gain", 1.0) == 0.0:
                module.gain = 1.0
        initialise(network, 1)
    return network.double().eval()


def inputs(shape, rows=ROWS):
    rng = Rng(7)
    x = rng.fork("x").normal(torch.empty(rows, *shape, dtype=torch.float64))
    noise = 3 * rng.fork("noise").normal(torch.empty(rows, 1, dtype=torch.float64))[:, 0]
    label = torch.arange(rows) % 4
    numbers = rng.fork("numbers").normal(torch.empty(rows, 2, dtype=torch.float64))
    return x, noise, label, numbers


@named
def test_the_answer_has_the_shape_of_the_question_times_the_outputs(key, shape):
    assert make(key, shape, outputs=2)(*inputs(shape)).shape == (ROWS, 2 * shape[0], *shape[1:])


@named
def test_an_untrained_network_answers_zero(key, shape):
    assert not make(key, shape, awake=False)(*inputs(shape)).any()


def rows_are_alone(network, shape):
    """Each row alone gives what it gives in company."""
    arguments = inputs(shape)
    together = network(*arguments)
    alone = torch.cat([network(*(value[i : i + 1] for value in arguments)) for i in range(ROWS)])
    return torch.allclose(together, alone, rtol=1e-9, atol=1e-9)


@named
def test_a_row_does_not_depend_on_the_others(key, shape):
    assert rows_are_alone(make(key, shape), shape)
    assert rows_are_alone(make(key, shape).train(), shape)


def test_a_network_that_reads_the_batch_is_rejected():
    class Mutant(Network):
        def __init__(self):
            self._state((2,), 1, 3, 2)

        def forward(self, x, noise, label=None, numbers=None):
            return x - x.mean(0)

    assert not rows_are_alone(Mutant().train(), (2,))


@named
def test_the_null_label_and_missing_numbers_are_the_same_as_none(key, shape):
    network, (x, noise, _, _) = make(key, shape), inputs(shape)
    null, missing = torch.full((ROWS,), 3), torch.full((ROWS, 2), torch.nan, dtype=torch.float64)
    assert torch.equal(network(x, noise), network(x, noise, null, missing))


@named
def test_every_argument_is_heard(key, shape):
    network, (x, noise, label, numbers) = make(key, shape), inputs(shape)
    said = network(x, noise, label, numbers)
    for other in (
        network(x / 2, noise, label, numbers),
        network(x, noise + 0.3, label, numbers),
        network(x, noise, (label + 1) % 4, numbers),
        network(x, noise, label, numbers + 0.3),
        network(x, noise, label, torch.cat((numbers[:, :1], numbers[:, 1:] * torch.nan), 1)),
    ):
        assert ((said - other).flatten(1).abs().amax(1) > 1e-6).all()


@named
def test_the_gradient_equals_finite_differences(key, shape):
    """Along one direction of the input and one of every parameter, by a central difference of step h: error O(h²)."""
    network, arguments = make(key, shape), inputs(shape)
    leaves = [arguments[0].requires_grad_(), *network.parameters()]
    steps = [Rng(5).fork(k).normal(torch.empty(1, *p.shape, dtype=torch.float64))[0] for k, p in enumerate(leaves)]
    value = lambda: network(*arguments).square().sum()  # noqa: E731
    slopes = torch.autograd.grad(value(), leaves)
    exact = float(sum((g * d).sum() for g, d in zip(slopes, steps, strict=True)))
    h, sides = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for p, d in zip(leaves, steps, strict=True):
                p += sign * h * d
            sides.append(float(value()))
    assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(exact, rel=1e-4, abs=1e-5)


@named
def test_every_weight_is_reached_by_the_gradient(key, shape):
    network = make(key, shape)
    network(*inputs(shape)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert not silent


@named
def test_making_and_running_a_network_leaves_global_randomness_alone(key, shape):
    before = torch.get_rng_state()
    network = make(key, shape, **({"dropout": 0.5} if key in ("unet", "dit") else {})).train()
    first, second = network(*inputs(shape)), network(*inputs(shape))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@named
def test_the_same_seed_draws_the_same_weights_and_another_others(key, shape):
    network = make(key, shape)
    first = copy.deepcopy(network.state_dict())
    initialise(network, 2)
    other = copy.deepcopy(network.state_dict())
    initialise(network, 1)
    assert all(torch.equal(first[name], value) for name, value in network.state_dict().items())
    drawn = [name for name in first if name.endswith("weight")]
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


@named
def test_a_network_is_rebuilt_from_its_description(key, shape):
    network = make(key, shape)
    described = catalog.describe("networks", network)
    given = {name: described.pop(name) for name in ("shape", "outputs", "classes", "conditions")}
    twin = catalog.build("networks", described, **{**given, "shape": tuple(given["shape"])}).double().eval()
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin(*inputs(shape)), network(*inputs(shape)))
    assert parameters(twin) == parameters(network)


@pytest.mark.parametrize("key", ENTRIES)
def test_a_condition_that_the_network_does_not_know_is_refused(key):
    network, (x, noise, label, numbers) = make(key, (1, 4, 4), classes=0, conditions=0), inputs((1, 4, 4))
    for wrong in ((label, None), (None, numbers)):
        with pytest.raises(ValueError, match="none of its kind"):
            network(x, noise, *wrong)


@pytest.mark.parametrize("key", ENTRIES)
@pytest.mark.parametrize("wrong", [{"shape": ()}, {"shape": (0, 4)}, {"outputs": 0}, {"classes": -1}, {"width": 0}])
def test_impossible_sizes_are_refused(key, wrong):
    with pytest.raises(ValueError, match=r"must be|too small"):
        catalog.find("networks", key)(**{"shape": (1, 4, 4), **wrong})
