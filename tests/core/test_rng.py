"""Randomness as a function: moments and laws of the draws, independence of the streams, and exact reproducibility."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.core.rng import Rng, _bits, _mix, _mix_array, _mix_int, _pairs, _pairs_on, _signed

GAMMA = 0x9E3779B97F4A7C15
MANY = 400_000


def zeros(*shape, dtype=torch.float64):
    return torch.zeros(shape, dtype=dtype)


def kolmogorov(u):
    """√N times the largest distance between the empirical distribution function of u and that of U(0, 1)."""
    u = u.flatten().sort().values
    n = len(u)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps[1:] - u).max(), (u - steps[:-1]).max())) * math.sqrt(n)


# P(√N D > 3) = 2 e^{−18} = 3e-8 for a true law (Kolmogorov's distribution).
KOLMOGOROV_LIMIT = 3.0


def test_the_finaliser_gives_the_published_numbers_of_splitmix64():
    seed = 1234567
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [_mix_int((seed + (k + 1) * GAMMA) & (2**64 - 1)) for k in range(4)] == published


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=200, deadline=None)
def test_tensors_arrays_and_whole_numbers_are_mixed_to_the_same_bits(z):
    assert int(_mix(torch.tensor([_signed(z)]))) == _signed(_mix_int(z))
    assert int(_mix_array(np.array([z], np.uint64))[0]) == _mix_int(z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_have_the_moments_and_the_law_of_a_normal(dtype):
    x = Rng(1).normal(zeros(MANY // 40, 40, dtype=dtype)).double().flatten()
    se = 1 / math.sqrt(MANY)
    # standard errors of mean, variance, skewness and kurtosis of N samples of N(0, 1)
    assert abs(x.mean()) < 5 * se
    assert abs(x.var() - 1) < 5 * math.sqrt(2) * se
    assert abs((x**3).mean()) < 5 * math.sqrt(15) * se
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96) * se
    assert kolmogorov(torch.special.ndtr(x)) < KOLMOGOROV_LIMIT


def test_the_moment_test_would_see_a_scale_off_by_one_percent():
    x = 1.01 * Rng(1).normal(zeros(MANY // 40, 40)).flatten()
    assert abs(x.var() - 1) > 5 * math.sqrt(2 / MANY)


def test_uniforms_have_the_law_of_a_uniform_and_never_touch_its_ends():
    u = Rng(2).uniform(MANY)
    assert kolmogorov(u) < KOLMOGOROV_LIMIT
    assert 0 < u.min() < u.max() < 1


def test_whole_numbers_are_equally_likely():
    counts = torch.bincount(Rng(3).integers(MANY, 7), minlength=7).double()
    expected = MANY / 7
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    # 6 degrees of freedom: P(χ² > 45) = 5e-8
    assert len(counts) == 7
    assert chi_squared < 45


def test_signs_are_fair_and_only_signs():
    signs = Rng(4).rademacher(zeros(1000, 400))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / math.sqrt(MANY)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**63))
@settings(max_examples=50, deadline=None)
def test_what_an_example_gets_does_not_depend_on_the_batch(small, more, width, seed):
    rng = Rng(seed).fork("eps", 3)
    whole = rng.normal(zeros(small + more, width))
    assert torch.equal(whole[:small], rng.normal(zeros(small, width)))
    assert torch.equal(whole[small:], rng.at(small).normal(zeros(more, width)))
    assert torch.equal(whole[small:], rng.at(torch.arange(small, small + more)).normal(zeros(more, width)))


def test_drawing_twice_gives_the_same_numbers_and_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    assert torch.equal(Rng(5).normal(zeros(3, 2)), Rng(5).normal(zeros(3, 2)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rows", [1, 3])
def test_normals_are_the_box_muller_pairs_of_the_mixed_counters(rows):
    rng, first, half = Rng(11).fork("eps", 4), 2**40 + 5, 4
    drawn = rng.at(first).normal(zeros(rows, 2 * half))
    for row in range(rows):
        key = _mix_int((rng._key + (first + row) * GAMMA) % 2**64)
        for place in range(half):
            bits = _mix_int((key + (place + 1) * GAMMA) % 2**64)
            radius = math.sqrt(-2 * math.log(((bits >> 32) + 0.5) / 2**32))
            angle = 2 * math.pi * (bits % 2**32) / 2**32
            pair = (radius * math.cos(angle), radius * math.sin(angle))
            assert drawn[row, [place, half + place]].tolist() == pytest.approx(pair, abs=1e-13)


def test_the_arithmetic_of_other_devices_gives_the_same_normals():
    keys = Rng(13)._keys(3)
    for kind, real in ((np.float32, torch.float32), (np.float64, torch.float64)):
        there = _pairs_on(keys, 9, real, torch.device("cpu"))
        torch.testing.assert_close(there, _pairs(keys, 9, kind))


@pytest.mark.parametrize("shape", [(1, 4), (3, 5), (2, 3, 4, 4), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_many_draws_at_once_are_the_bits_of_one_after_the_other(shape, dtype):
    rng, like = Rng(12).fork("eps").at(7), zeros(*shape, dtype=dtype)
    forks = [("a", 1), (), (2,)]
    assert torch.equal(rng.normals(like, forks), torch.stack([rng.fork(*keys).normal(like) for keys in forks]))


def test_forking_by_two_keys_is_forking_twice_and_order_matters():
    rng = Rng(6)
    like = zeros(2, 3)
    assert torch.equal(rng.fork("a", 1).normal(like), rng.fork("a").fork(1).normal(like))
    assert not torch.equal(rng.fork("a", "b").normal(like), rng.fork("b", "a").normal(like))
    assert not torch.equal(rng.fork(1).normal(like), rng.fork("1").normal(like))


def streams():
    """Pairs of streams that must know nothing of each other, by name."""
    width = 256
    rng = Rng(7)
    table = rng.normal(zeros(400, width))
    yield "neighbouring examples", table[:-1], table[1:]
    yield "two forks", rng.fork("a").normal(zeros(400, width)), rng.fork("b").normal(zeros(400, width))
    yield "a fork and its parent", rng.fork(0).normal(zeros(400, width)), table
    yield "neighbouring steps", rng.fork("step", 1).normal(table), rng.fork("step", 2).normal(table)
    yield "neighbouring seeds", Rng(8).normal(table), table
    yield "neighbouring elements", table[:, :-1], table[:, 1:]
    yield "the two halves of Box-Muller", table[:, : width // 2], table[:, width // 2 :]


@pytest.mark.parametrize("case", list(streams()), ids=lambda case: case[0])
def test_streams_are_uncorrelated_also_in_their_squares(case):
    _, a, b = case
    n = a.numel()
    for f in (lambda x: x, lambda x: (x**2 - 1) / math.sqrt(2), torch.sign):
        assert abs(float((f(a) * f(b)).mean())) < 5.5 / math.sqrt(n)


def test_the_correlation_test_would_see_one_shared_number_in_fifty():
    a, b = Rng(9).normal(zeros(400, 256)), Rng(10).normal(zeros(400, 256))
    b[:, ::50] = a[:, ::50]
    assert abs(float((a * b).mean())) > 5.5 / math.sqrt(a.numel())


def test_two_thousand_seeds_give_two_thousand_different_noises():
    noise = torch.stack([Rng(seed).normal(zeros(1, 256))[0] for seed in range(2000)])
    correlation = (noise @ noise.T / 256).fill_diagonal_(0)
    # 2e6 pairs of standard error 1/16: 7 standard errors would be passed with probability 5e-6
    assert correlation.abs().max() < 7 / 16


def test_an_odd_number_of_elements_and_none_at_all_are_drawn():
    assert Rng(0).normal(zeros(2, 3)).shape == (2, 3)
    assert Rng(0).normal(zeros(0, 3)).shape == (0, 3)
    assert Rng(0).normal(zeros(2, 0)).shape == (2, 0)


def test_a_stream_refuses_more_rows_than_it_names():
    with pytest.raises(ValueError, match="names 2 examples, but 3 rows"):
        Rng(0).at(torch.arange(2)).uniform(3)


@pytest.mark.gpu
def test_uniform_bits_are_the_same_on_the_accelerator():
    device = torch.device(torch.accelerator.current_accelerator().type)
    keys = Rng(0)._keys(5)
    assert torch.equal(_bits(keys, 7, device).cpu(), _bits(keys, 7, torch.device("cpu")))
