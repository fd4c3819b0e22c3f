"""The example of a process of one's own: it obeys the laws, learns, states a bound and draws."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).resolve().parents[2] / "examples" / "own_process.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example_own_process", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_thinning_is_a_markov_process_that_forgets(example):
    process = example.Thinning()
    first, second, both = process.matrix(0.1, 0.4), process.matrix(0.4, 0.9), process.matrix(0.1, 0.9)
    torch.testing.assert_close(first @ second, both, rtol=0, atol=1e-12)
    torch.testing.assert_close(both.sum(1), torch.ones(8).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(process.matrix(0.0, 1.0), process.stationary().expand(8, 8), rtol=0, atol=1e-12)
    # the bridge of thinning: x_s − x_t ~ Binomial(x_0 − x_t, (t − s)/t), here from 7 to 2
    x0, xt = torch.full((1, 1), 1.0, dtype=torch.float64), torch.full((1, 1), 2 / 3.5 - 1, dtype=torch.float64)
    expected = torch.distributions.Binomial(5, torch.tensor(0.5 / 0.9)).log_prob(torch.arange(6.0)).exp().double()
    torch.testing.assert_close(process.bridge(x0, xt, 0.4, 0.9).probs[0, 0, 2:], expected, rtol=0, atol=1e-6)


def test_it_is_trained_bounded_and_sampled(example):
    found = example.main()
    # two independent counts cost 6 bits, and sum to 7 one time in eight
    assert found["bound in bits (the truth is 3)"] < 4.2
    assert found["sums of 7"] > 0.6
