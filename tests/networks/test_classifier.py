"""The classifier of noisy inputs."""

import pytest
import torch

from reverie.core.rng import Rng
from reverie.networks import Classifier, initialise


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 7, 5), (2, 13), (1, 4, 5, 3)])
def test_it_gives_a_logit_per_class_and_starts_undecided(shape):
    logits = Classifier(shape=shape, classes=5, width=8)(torch.ones(3, *shape), torch.zeros(3))
    assert logits.shape == (3, 5)
    assert not logits.any()


def test_it_learns_to_tell_two_clouds_apart():
    network = initialise(Classifier(shape=(2,), classes=2, width=16, levels=1), 0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    label = torch.arange(256) % 2
    x = Rng(0).normal(torch.empty(256, 2)) * 0.3 + (2.0 * label - 1)[:, None]
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(x, torch.zeros(256)), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((network(x, torch.zeros(256)).argmax(1) == label).float().mean()) > 0.98


def test_one_class_is_no_classification():
    with pytest.raises(ValueError, match="2 classes"):
        Classifier(shape=(2,), classes=1)


def test_it_tells_apart_what_differs_in_place_alone():
    """One bright pixel in a noisy picture, here or there: a mean over places would have to find out by its borders."""
    network = initialise(Classifier(shape=(1, 8, 8), classes=2, width=8, levels=2), 0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    label = torch.arange(64) % 2
    x = Rng(0).normal(torch.empty(64, 1, 8, 8)) * 0.3
    x[label == 0, :, 2, 2] += 3
    x[label == 1, :, 5, 5] += 3
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(network(x, torch.zeros(64)), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((network(x, torch.zeros(64)).argmax(1) == label).float().mean()) > 0.95
