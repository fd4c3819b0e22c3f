"""The same arithmetic for one number and for a batch of them."""

import math

import pytest
import torch

from reverie.core import tensors

POINTS = [-3.0, -0.5, 0.0, 1e-12, 0.3, 0.999, 2.5]
FUNCTIONS = ["exp", "cos", "sin", "tan", "atan", "expm1", "sigmoid"]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("x", POINTS)
def test_a_number_and_a_tensor_get_the_same_value(name, x):
    function = getattr(tensors, name)
    number = function(x)
    tensor = function(torch.tensor([x], dtype=torch.float64))
    assert isinstance(number, float)
    assert number == pytest.approx(float(tensor), rel=1e-14, abs=1e-300)


@pytest.mark.parametrize(
    ("name", "x"), [("log", 0.0), ("log", 2.0), ("log1p", -1.0), ("log1p", 0.3), ("sqrt", 0.0), ("sqrt", 2.0)]
)
def test_logarithms_reach_minus_infinity_alike(name, x):
    function = getattr(tensors, name)
    assert function(x) == pytest.approx(float(function(torch.tensor([x], dtype=torch.float64))), rel=1e-14)


@pytest.mark.parametrize("x", [-800.0, -40.0, 40.0, 800.0])
def test_the_logistic_function_is_exact_in_both_tails(x):
    assert tensors.sigmoid(x) == pytest.approx(math.exp(min(x, 0)) / (1 + math.exp(-abs(x))), rel=1e-15)


def test_clamp_holds_numbers_and_tensors():
    assert tensors.clamp(3.0, 0.0, 1.0) == 1.0
    assert tensors.clamp(torch.tensor([3.0, -1.0]), 0.0, 1.0).tolist() == [1.0, 0.0]


def test_a_scalar_per_example_multiplies_a_batch_of_any_shape():
    like = torch.zeros(2, 3, 4, 5)
    value = tensors.expand(torch.tensor([1.0, 2.0], dtype=torch.float64), like)
    assert value.shape == (2, 1, 1, 1)
    assert value.dtype == like.dtype
    assert tensors.expand(0.5, like) == 0.5
    assert tensors.expand(torch.tensor(0.5), like).shape == ()


def test_a_time_becomes_one_per_example_in_double_precision():
    t = tensors.batch(0.1, torch.zeros(3, 2, dtype=torch.float32))
    assert t.dtype == torch.float64
    assert t.tolist() == [0.1, 0.1, 0.1]
    assert tensors.batch(t, torch.zeros(3)) is t


def test_sums_and_means_are_over_all_but_the_first_dimension():
    x = torch.arange(12.0).reshape(2, 3, 2)
    assert tensors.sum_features(x).tolist() == [15.0, 51.0]
    assert tensors.mean_features(x).tolist() == [2.5, 8.5]
