"""What is seen when is a function of (seed, position); what is held out is a function of the seed."""

import numpy as np
import pytest
import torch
from made_data import npz

from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.data.order import balance, order


@pytest.mark.parametrize("parts", [[40], [7, 13, 20], [1] * 40])
def test_parts_of_the_order_are_the_whole(parts):
    whole, at, seen = order(11, 5, 0, 40), 0, []
    for rows in parts:
        seen.append(order(11, 5, at, rows))
        at += rows
    assert torch.equal(torch.cat(seen), whole)


def test_every_epoch_shows_every_example_once_in_another_order():
    whole = order(50, 1, 0, 150).reshape(3, 50)
    assert torch.equal(whole.sort(1).values, torch.arange(50).expand(3, 50))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(order(50, 2, 0, 50), whole[0])


def test_ranks_together_see_what_one_process_sees():
    whole = order(30, 0, 64, 32)
    ranks = [order(30, 0, 64 + 16 * rank, 16) for rank in range(2)]
    assert torch.equal(torch.cat(ranks), whole)


def test_balanced_draws_show_rare_classes_as_often():
    labels = (torch.arange(1000) >= 990).long()
    drawn = labels[order(1000, 0, 0, 20_000, balance(labels))]
    share = float(drawn.double().mean())
    assert abs(share - 0.5) < 5 * (0.25 / 20_000) ** 0.5
    assert torch.equal(order(1000, 0, 500, 9, balance(labels)), order(1000, 0, 0, 600, balance(labels))[500:509])


def test_weights_that_are_none_are_refused():
    for weights in (torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]), torch.ones(2)):
        with pytest.raises(ValueError, match="weights"):
            order(3, 0, 0, 2, weights)


def test_the_split_depends_on_the_seed_and_nothing_else():
    data = open_data("moons")
    train, held = data.split(0.1, 3)
    assert len(held) == 2000
    assert torch.equal(torch.cat((train, held)).sort().values, torch.arange(20_000))
    assert torch.equal(data.split(0.1, 3)[1], held)
    assert not torch.equal(data.split(0.1, 4)[1], held)
    assert len(data.split(0.0)[1]) == 0
    with pytest.raises(UserError, match="share held out"):
        data.split(1.0)


def test_equal_examples_are_held_out_together(tmp_path):
    rng = np.random.default_rng(0)
    once = rng.integers(0, 256, (40, 6, 6)).astype(np.uint8)
    data = open_data(npz(tmp_path / "x.npz", x=np.concatenate((once, once))))
    train, held = data.split(0.25, 0)
    assert not set((train % 40).tolist()) & set((held % 40).tolist())
    assert len(held) > 0


def test_digits_and_generated_sets_are_the_same_every_time():
    from reverie.data.builtin import BUILTIN, draw

    for name in BUILTIN:
        first, second = (open_data(name).rows(torch.arange(20)) for _ in range(2))
        assert torch.equal(first, second), name
    assert torch.equal(draw("moons", 10)[:4], draw("moons", 4))
    assert not torch.equal(draw("moons", 4, seed=2), draw("moons", 4))
