"""Tensors in and out of safetensors, to the bit; weights that do not fit are counted and named."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from torch import nn

from reverie.core import modelfile
from reverie.core.errors import BAD_DATA, UserError

DTYPES = list(modelfile.DTYPES.values())


def every_kind() -> dict[str, torch.Tensor]:
    made = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in DTYPES}
    return {**made, "scalar": torch.tensor(3.5), "empty": torch.empty(0, 4), "ünï/名": torch.ones(1)}


def test_tensors_come_back_to_the_bit() -> None:
    tensors = every_kind()
    back = modelfile.load_tensors(modelfile.save_tensors(tensors, {"format": "pt"}))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


def test_the_formats_own_library_reads_what_is_written_and_writes_what_is_read() -> None:
    tensors = every_kind()
    for back in (
        safetensors.torch.load(modelfile.save_tensors(tensors)),
        modelfile.load_tensors(safetensors.torch.save(tensors, {"format": "pt"})),
    ):
        assert back.keys() == tensors.keys()
        assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_equal_tensors_give_equal_bytes_in_any_order() -> None:
    tensors, metadata = every_kind(), {"b": "2", "a": "1"}
    backwards = dict(reversed(tensors.items()))
    assert modelfile.save_tensors(tensors, metadata) == modelfile.save_tensors(
        backwards, dict(reversed(metadata.items()))
    )


def test_views_and_shared_memory_are_stored_on_their_own() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "whole": base,
        "same": base,
        "column": base[:, 1],
        "turned": base.T,
        "one": base[1, 1],
        "wide": base[:1].expand(5, 4),
    }
    back = modelfile.load_tensors(modelfile.save_tensors(tensors))
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    back["whole"].zero_()
    assert torch.equal(back["same"], base)


def test_special_values_keep_their_bits() -> None:
    bits = torch.tensor([0x7FC00001, -0x400000, 0x7F800000, -0x80000000, 1], dtype=torch.int32)
    back = modelfile.load_tensors(modelfile.save_tensors({"x": bits.view(torch.float32)}))["x"]
    assert torch.equal(back.view(torch.int32), bits)


def test_a_dtype_that_is_not_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="complex64"):
        modelfile.save_tensors({"x": torch.zeros(1, dtype=torch.complex64)})


def module() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_fitting_weights_are_loaded() -> None:
    one, other = module(), module()
    modelfile.strict_load(other, one.state_dict(), "model")
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("0.weight"), r"1 missing \(0\.weight\)"),
        (lambda w: w.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (lambda w: w.update({"0.bias": torch.zeros(4)}), r"1 of another shape \(0\.bias: \[4\] for \[3\]\)"),
        (
            lambda w: w.update({"0.bias": torch.zeros(3).double()}),
            r"1 of another dtype \(0\.bias: float64 for float32\)",
        ),
        (lambda w: w.update({"0.bias": torch.tensor([0, float("nan"), 0])}), r"1 not finite \(0\.bias\)"),
        (lambda w: w.update({f"x{n}": torch.zeros(1) for n in range(30)}), r"30 unexpected \(x0, .*x9, …\)"),
    ],
)
def test_weights_that_do_not_fit_are_counted_and_named_and_change_nothing(change, said: str) -> None:
    own = module()
    before = {k: v.clone() for k, v in own.state_dict().items()}
    weights = dict(module().state_dict())
    change(weights)
    with pytest.raises(UserError, match=said) as told:
        modelfile.strict_load(own, weights, "model")
    assert told.value.code == BAD_DATA
    assert all(torch.equal(v, own.state_dict()[k]) for k, v in before.items())
