"""Labels that are summed over: read off what is seen, drawn for every sample, and exact where truth is known."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.guidance import Blur, Identity, Mask, Matrix, Observation
from reverie.training.classifier import Sight, load_classifier, named, train_classifier
from reverie.training.model import load
from reverie.training.restoring import drawn, restore

MASK = Mask.half((1, 8, 8), "left")
SEEN = Observation(MASK, torch.full((1, 1, 8, 8), 0.3))
HOW = {"steps": 2, "seed": 5}


@pytest.mark.parametrize("method", ["moment-matching", "projection", "repaint"])
def test_a_label_that_is_certain_is_that_label(digits, method):
    model, certain = load(digits), torch.eye(10)[3]
    restored = restore(model, SEEN, count=3, method=method, label=certain, **HOW)
    assert restored.labels is not None
    assert restored.labels.tolist() == [3, 3, 3]
    assert torch.equal(restored.samples, restore(model, SEEN, count=3, method=method, label="3", **HOW).samples)


def test_every_sample_is_that_of_its_own_label(digits):
    """Sample i is a function of its label, the seed and i: p(x_0 | y) = Σ_c p(c | y) p(x_0 | c, y) term by term."""
    model, chances = load(digits), torch.tensor([0.0, 0.5, 0, 0, 0.5, 0, 0, 0, 0, 0])
    for number, weight in enumerate(model.parameters()):  # one that heeds labels
        weight.requires_grad_(False).add_(0.1 * Rng(number).normal(torch.empty(1, *weight.shape))[0])
    restored = restore(model, SEEN, count=11, label=chances, **HOW)
    assert restored.labels is not None
    assert set(restored.labels.tolist()) == {1, 4}
    alone = {c: restore(model, SEEN, count=11, label=str(c), **HOW).samples for c in (1, 4)}
    for number, label in enumerate(restored.labels.tolist()):
        # rows of a batch agree to rounding, whatever is beside them
        assert torch.allclose(restored.samples[number], alone[label][number], atol=1e-5)
        assert not torch.allclose(restored.samples[number], alone[5 - label][number], atol=1e-3)


def test_labels_are_drawn_as_often_as_they_are_probable():
    chances, count = torch.tensor([0.2, 0.0, 0.5, 0.3]), 40000
    found = drawn(chances, Rng(1).uniform(count)).bincount(minlength=4).double() / count
    assert found[1] == 0
    assert ((found - chances).abs() <= 4 * (chances * (1 - chances) / count).sqrt()).all()
    # the ends of the scale are labels that can be, whatever the sum rounds to
    ends = torch.tensor([2.0**-53, 1 - 2.0**-53], dtype=torch.float64)
    assert drawn(torch.tensor([0.0, 0.4, 0.6, 0.0]), ends).tolist() == [1, 2]
    assert drawn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0.5, 0.5])).tolist() == [1, 0]


@pytest.mark.parametrize(
    "wrong", [torch.ones(3) / 3, torch.full((10,), float("nan")), -torch.eye(10)[1], torch.zeros(10)]
)
def test_probabilities_that_cannot_be_are_refused(digits, wrong):
    with pytest.raises(UserError, match="probabilities of labels need one of each of 10 classes, 0 or above"):
        restore(load(digits), SEEN, label=wrong)


def test_particles_take_one_label(digits):
    with pytest.raises(UserError, match="weighed for one label"):
        restore(load(digits), SEEN, label=torch.ones(10) / 10, method="particles")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of points, N(±1, ½²) in the first of two elements; the second says nothing of the class."""
    rng, path = Rng(3), tmp_path_factory.mktemp("data") / "two.npz"
    label = rng.fork("label").integers(6000, 2)
    x = 0.5 * rng.fork("x").normal(torch.empty(6000, 2)) + torch.stack((2.0 * label - 1, torch.zeros(6000)), 1)
    np.savez(path, x=x.numpy(), y=label.numpy())
    return path


def test_a_classifier_of_observations_comes_near_the_exact_probability(two, tmp_path):
    """y = x_1 + noise: log p(1|y)/p(0|y) = 2 y/(s² + σ_y²), as long as the noise is in the data's own units."""
    data = open_data(two)
    centre, spread = data.spec.scale.center[0], data.spec.scale.spread[0]
    mask, noise = Mask(torch.tensor([1, 0]), (2,)), 0.8
    model = train_classifier(data, tmp_path / "out", sight=Sight(mask, noise / spread), steps=600, batch=256)
    native = torch.linspace(-2, 2, 21)
    y = torch.stack(((native - centre) / spread, torch.full((21,), 99.0)), 1)
    found = model.read(Observation(mask, y, noise / spread))[:, 1]
    truth = (2 * native / (0.25 + noise**2)).sigmoid()
    # 5,400 examples leave a logistic slope about 4 % off, 0.01 of a probability; a network bends a little besides
    assert (found - truth).abs().max() < 0.06
    # one that took the noise for none would have a slope of 8 in place of 2.2
    assert ((2 * native / 0.25).sigmoid() - truth).abs().max() > 0.2
    again = load_classifier(tmp_path / "out")
    assert torch.equal(again.read(Observation(mask, y, noise / spread))[:, 1], found)
    assert model.summary["held_out"][0][1] > 0.8


def test_a_classifier_reads_what_is_seen_alone(tmp_path):
    model = train_classifier(
        open_data("digits"), tmp_path / "out", network={"width": 8}, steps=4, batch=32, sight=Sight(MASK, told={"a": 1})
    )
    unseen = torch.where(MASK.mask, SEEN.y, 7.0)
    assert torch.equal(model.read(SEEN), model.read(Observation(MASK, unseen)))
    assert torch.allclose(model.read(SEEN).sum(1), torch.ones(1))
    assert named({"task": "inpaint", "part": "left", "noise": 0.0, "probe": [1.0]}) == "task inpaint, part left"


def test_an_operator_is_known_again_and_no_other_is_taken_for_it():
    shape = (1, 8, 8)
    operators = [
        MASK, Mask.half(shape, "right"), Mask.box(shape, (0, 0, 8, 4)), Mask.box(shape, (0, 0, 8, 3)), Identity(shape),
        Blur.gaussian(1.0, shape), Blur.gaussian(1.2, shape), Matrix.random(0.5, shape, seed=0),
        Matrix.random(0.5, shape, seed=1),
    ]  # fmt: skip
    probes = [torch.tensor(Sight(operator).probe()) for operator in operators]
    assert torch.allclose(probes[0], probes[2])  # the left half is that box
    for one, other in itertools.combinations(range(len(probes)), 2):
        assert (one, other) == (0, 2) or (probes[one] - probes[other]).abs().max() > 0.01
