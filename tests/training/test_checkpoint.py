"""Resume points hold a run's tensors, plain values and optimizer to the bit, and refuse what is not finite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from reverie.core.errors import BAD_DATA, NON_FINITE, UserError
from reverie.training.checkpoint import Checkpoints, flatten_optimizer, restore_optimizer


def trained(steps: int, *, seed: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, betas=(0.9, 0.95), fused=True)
    return continued(module, optimizer, steps)


def continued(module: nn.Module, optimizer: torch.optim.AdamW, steps: int, first: int = 0):
    for n in range(first, first + steps):
        x = torch.linspace(-1, 1 + n, 15).reshape(5, 3)
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
    return module, optimizer


def names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_twenty_updates_are_ten_a_save_and_ten_more_to_the_bit(tmp_path: Path) -> None:
    whole, _ = trained(20)
    half, optimizer = trained(10)
    tensors, described = flatten_optimizer(optimizer, names(half))
    Checkpoints(tmp_path).save(10, {"model": half.state_dict(), "optimizer": tensors}, {"optimizer": described})

    saved = Checkpoints(tmp_path).latest()
    assert saved is not None
    module, optimizer = trained(3, seed=1)
    module.load_state_dict(saved.tensors["model"])
    restore_optimizer(optimizer, names(module), saved.tensors["optimizer"], saved.state["optimizer"])
    assert same(continued(module, optimizer, 10, first=10)[0], whole)


def test_forgetting_the_optimizers_counter_would_be_caught(tmp_path: Path) -> None:
    """A mutant: the moments come back, the number of updates does not."""
    whole, _ = trained(20)
    half, optimizer = trained(10)
    tensors, described = flatten_optimizer(optimizer, names(half))
    careless = {k: torch.ones_like(v) if k.endswith("/step") else v for k, v in tensors.items()}
    restore_optimizer(optimizer, names(half), careless, described)
    assert not same(continued(half, optimizer, 10, first=10)[0], whole)


def test_an_optimizers_options_and_state_survive_json() -> None:
    module, optimizer = trained(2)
    optimizer.param_groups[0]["lr"] = 0.1 + 0.2
    tensors, described = flatten_optimizer(optimizer, names(module))
    other, fresh = trained(0, seed=3)
    restore_optimizer(fresh, names(other), tensors, json.loads(json.dumps(described)))
    assert fresh.param_groups[0]["lr"] == 0.1 + 0.2
    assert fresh.param_groups[0]["betas"] == (0.9, 0.95)
    again, _ = flatten_optimizer(fresh, names(other))
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[k], v) for k, v in tensors.items())


def test_an_optimizer_that_never_stepped_is_restored_as_such() -> None:
    module, optimizer = trained(0)
    tensors, described = flatten_optimizer(optimizer, names(module))
    assert tensors == {}
    restore_optimizer(optimizer, names(module), tensors, described)
    assert not optimizer.state


def test_a_restored_optimizer_owns_its_memory() -> None:
    module, optimizer = trained(1)
    tensors, described = flatten_optimizer(optimizer, names(module))
    kept = {k: v.clone() for k, v in tensors.items()}
    other, fresh = trained(0)
    restore_optimizer(fresh, names(other), kept, described)
    before = {k: v.clone() for k, v in kept.items()}
    continued(other, fresh, 1)
    assert all(torch.equal(kept[k], v) for k, v in before.items())


def test_another_optimizers_state_is_refused() -> None:
    module, optimizer = trained(1)
    tensors, described = flatten_optimizer(optimizer, names(module))
    for wrong, said in (
        ({"unknown/exp_avg": torch.zeros(2)}, "fits no parameter"),
        ({"0.weight/exp_avg": torch.zeros(2, 2)}, "fits no parameter"),
        ({"0.weight/exp_avg": tensors["0.weight/exp_avg"]}, "knows 1 of 4"),
    ):
        with pytest.raises(UserError, match=said) as told:
            restore_optimizer(optimizer, names(module), wrong, described)
        assert told.value.code == BAD_DATA
    with pytest.raises(UserError, match="SGD"):
        restore_optimizer(optimizer, names(module), tensors, {**described, "kind": "SGD"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_never_saved(tmp_path: Path, value: float) -> None:
    with pytest.raises(UserError, match="average 'w' is not finite") as told:
        Checkpoints(tmp_path / "c").save(
            5, {"model": {"w": torch.ones(2)}, "average": {"w": torch.tensor([value])}}, {}
        )
    assert told.value.code == NON_FINITE
    assert not (tmp_path / "c").exists()


def test_state_keeps_its_numbers_exactly(tmp_path: Path) -> None:
    state = {"elapsed": 0.1 + 0.2, "big": 2**60, "none": None, "text": "größer", "list": [1, 2.5]}
    Checkpoints(tmp_path).save(7, {"model": {"w": torch.ones(1)}}, state)
    loaded = Checkpoints(tmp_path).latest()
    assert loaded is not None
    assert (loaded.step, loaded.state) == (7, state)


def test_keeping_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Checkpoints(tmp_path, keep=0)
