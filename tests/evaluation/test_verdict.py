"""The verdict names planted defects and leaves fresh real data alone: on real digits, in the samples' place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.evaluation.features import choose
from reverie.evaluation.measures import DISTANCES, PAIRS, measure
from reverie.evaluation.verdict import judge
from reverie.metrics import copy_shares, modes


@pytest.fixture(scope="module")
def thirds() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Real digits cut into training, held-out and fresh ones, and the labels of the fresh."""
    data = open_data("digits")
    order = Rng(0).uniform(len(data)).argsort()
    parts = order.split(len(data) // 3)
    labels = data.labels(parts[2])
    assert labels is not None
    return data.rows(parts[0]), data.rows(parts[1]), data.rows(parts[2]), labels


def copied(x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    tenth = len(x) // 10
    return torch.cat((train[:tenth] + 0.01, x[tenth:]))


def dropped(x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    """Two classes of ten never appear."""
    return x[labels < 8].repeat(2, 1, 1, 1)[: len(x)]


def blurred(x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def darker(x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    return 0.75 * (x + 1) - 1


def noisy(x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    return 0.3 * x + Rng(1).normal(x)


def fresh(x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("plant", "wanted"),
    [
        (fresh, "good"),
        (copied, "memorising"),
        (dropped, "mode-dropping"),
        (blurred, "blurred"),
        (darker, "shifted"),
        (noisy, "undertrained"),
    ],
)
def test_a_planted_defect_is_named(
    plant: Callable[[Tensor, Tensor, Tensor], Tensor], wanted: str, thirds: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    train, held, real, labels = thirds
    samples = plant(real, train, labels)
    space = choose("pca", train, None)
    found = measure(samples, train, held, space)
    kinds = modes(space.of(samples), space.of(torch.cat((train, held))))
    copies = copy_shares(samples, train, held)
    names = [f.name for f in judge(samples, held, found, copies, modes=kinds, pictures=True)]
    if wanted in ("good", "undertrained"):
        assert wanted in names
        assert ("good" in names) == (names == ["good"])
    else:
        assert names[0] == wanted
        assert not ({"memorising", "blurred", "good"} - {wanted}) & set(names)


def test_a_falling_and_a_rising_held_out_loss_are_told_apart(thirds: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    train, held, real, _ = thirds
    found = measure(real, train, held, choose("pca", train, None))
    rising = judge(real, held, found, None, held_curve=[0.5, 0.3, 0.29, 0.35])
    assert [f.name for f in rising] == ["overfitting"]
    assert [f.name for f in judge(real, held, found, None, held_curve=[0.5, 0.4, 0.35, 0.349])] == ["good"]


def test_every_distance_of_fresh_data_lies_at_its_floor(thirds: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    train, held, real, _ = thirds
    found = measure(real, train, held, choose("pca", train, None))
    for name in (*DISTANCES, *PAIRS):
        assert abs(found[name].excess) < 4, name
        assert found[name].baseline > found[name].value.value, name
