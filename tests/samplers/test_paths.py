"""The refinable noise path, the adaptive solver's tolerance, encoding and interpolation."""

import itertools
import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import Mixture
from reverie.processes import Flow, Gaussian, Schedule, VpCosine, VpLinear
from reverie.samplers import (
    Adams,
    Adaptive,
    Ancestral,
    BrownianPath,
    Heun,
    Learned,
    LogSnr,
    Refinable,
    RungeKutta,
    SdeDpm,
    Uniform,
    brownian,
    encode,
    interpolate,
    trajectory,
)
from reverie.samplers.exponential import angle
from reverie.samplers.ode import velocity


def oracle(schedule: Schedule | None = None) -> Mixture:
    means = torch.tensor([[-0.8, 0.2], [0.7, 0.5], [0.1, -0.9]]).double()
    return Mixture(
        Gaussian(schedule or VpLinear()),
        torch.tensor([0.3, 0.4, 0.3]).double(),
        means,
        torch.tensor([0.3, 0.2, 0.4]).double(),
    )


def start(count: int = 64) -> torch.Tensor:
    return Rng(7).normal(torch.empty(count, 2).double())


def end(sampler, times, seed=0, x=None):
    *_, last = trajectory(oracle(), sampler, start() if x is None else x, times, rng=Rng(seed))
    return last


def test_a_learned_solver_weighs_all_values_so_far_and_is_adams_on_other_times():
    denoiser, times = oracle(), (1.0, 0.6, 0.3, 0.0)
    rows = ((-0.5,), (-0.7, 0.1), (-0.6, 0.2, -0.05))
    schedule, z, values = denoiser.process.schedule, start(), []
    for (t, _), row in zip(itertools.pairwise(times), rows, strict=True):
        norm = angle(schedule, t)[1]
        values.insert(0, velocity(denoiser, schedule, z * norm, t))
        z = z + sum(w * v for w, v in zip(row, values, strict=True))
    learned = Learned(times, tuple(w for row in rows for w in row))
    assert torch.allclose(end(learned, times).x, z, atol=1e-12)
    other = Uniform().times(denoiser.process, 7)
    assert torch.equal(end(learned, other).x, end(Adams(3), other).x)
    assert not torch.allclose(end(Adams(3), times).x, z, atol=1e-2)


def test_a_learned_solver_refuses_a_table_of_the_wrong_size():
    with pytest.raises(ValueError, match="2 steps need 3 weights, not 2"):
        Learned((1.0, 0.5, 0.0), (0.1, 0.2))


# Octaves passed over, an octave entered, steps that grow shorter within a cell (its z is spent), a node met exactly.
CLOCK = (1e-6, 0.1, 0.37, 0.375, 0.9, 1.0, 1.1, 1.6, 1.65, 1.66, 1.75, 1.9, 3e5)


def walked(path, clock, like):
    """The values of a walk at these clock times, with the walks themselves."""
    walks = [path.to(clock[0], like)]
    for c in clock[1:]:
        walks.append(walks[-1].to(c, like))
    return torch.stack([walk.value for walk in walks]), walks


def covariance(clock, count=20_000):
    """Of the increments in units of their length: the identity, for Brownian motion."""
    values, _ = walked(BrownianPath(Rng(0)), clock, torch.empty(count, 1).double())
    steps = values.diff(dim=0)[..., 0] / torch.tensor(clock).double().diff().sqrt()[:, None]
    return steps @ steps.T / count


def test_a_brownian_path_has_independent_increments_of_the_right_variance():
    eye = torch.eye(len(CLOCK) - 1).double()
    assert torch.allclose(covariance(CLOCK), eye, rtol=0, atol=4.5 * math.sqrt(2 / 20_000))


def test_the_covariance_would_see_a_draw_that_is_used_twice(monkeypatch):
    monkeypatch.setattr(brownian, "_key", lambda clock, again=False: math.frexp(math.floor(8 * clock) / 8 + 1))
    eye = torch.eye(len(CLOCK) - 1).double()
    assert not torch.allclose(covariance(CLOCK), eye, rtol=0, atol=0.1)


def test_two_walks_have_the_same_values_where_both_come_by():
    like = torch.empty(4, 3).double()
    octaves = [2.0**k for k in range(-2, 6)]
    finer = sorted(octaves + [1.3 * c for c in octaves] + [1.31 * c for c in octaves])
    coarse, _ = walked(BrownianPath(Rng(1)), octaves, like)
    fine, _ = walked(BrownianPath(Rng(1)), finer, like)
    assert torch.equal(coarse, fine[[finer.index(c) for c in octaves]])
    alone, _ = walked(BrownianPath(Rng(1).at(2)), finer, like[2:])
    assert torch.equal(alone, fine[:, 2:])


def test_a_walk_draws_about_twice_a_step_and_remembers_a_few_nodes_however_many_steps_it_takes(monkeypatch):
    counts = []
    normals = Rng.normals
    monkeypatch.setattr(Rng, "normals", lambda rng, like, forks: counts.append(len(forks)) or normals(rng, like, forks))
    for steps in (30, 1000):
        counts.clear()
        clock = torch.logspace(-5, 3, steps).tolist()
        _, walks = walked(BrownianPath(Rng(0)), clock, torch.empty(1, 2))
        assert sum(counts) < 2.5 * steps
        assert max(len(walk.ahead) for walk in walks) <= brownian.DEPTH + 1


def test_a_walk_along_a_path_does_not_turn_back():
    like = torch.empty(1, 2)
    with pytest.raises(ValueError, match="only goes on"):
        BrownianPath(Rng(0)).to(2.0, like).to(1.0, like)


@pytest.mark.parametrize("inner", [SdeDpm(), Ancestral(v=0.0)], ids=repr)
def test_more_steps_refine_the_same_sample(inner):
    process = oracle().process
    grids = [LogSnr(sigma_min=0.02, cap=50.0).times(process, n) for n in (20, 40, 80, 160)]
    refined = [end(Refinable(inner), grid).x for grid in grids]
    # the median: a few samples near a border between modes change sides
    apart = [float((a - b).norm(dim=1).median()) for a, b in itertools.pairwise(refined)]
    assert apart[0] > 1.3 * apart[1] > 1.7 * apart[2]
    # without the path the samples have nothing to do with each other
    loose = [end(inner, grid).x for grid in grids[-2:]]
    assert float((loose[0] - loose[1]).norm(dim=1).median()) > 4 * apart[2]


def test_the_adaptive_pair_meets_its_tolerance_and_counts_its_evaluations():
    exact = end(RungeKutta("kutta4"), LogSnr(sigma_min=1e-3).times(oracle().process, 400)).x
    calls = []
    for tolerance in (1e-3, 1e-5, 1e-7):
        last = end(Adaptive(rtol=tolerance, atol=tolerance), [1.0, 0.0])
        assert float((last.x - exact).abs().mean()) < 5 * tolerance + 2e-7
        calls.append(last.state.evaluations)
    assert calls[0] < calls[1] < calls[2] < 700
    assert end(Adaptive(rtol=1e-3, atol=1e-3, low_order=True), [1.0, 0.0]).state.evaluations > 0


@pytest.mark.parametrize("schedule", [VpLinear(), VpCosine(), Flow()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("sampler", [RungeKutta(), Adams(order=4), Heun()], ids=repr)
def test_encoding_and_decoding_return_to_the_data(sampler, schedule):
    denoiser = oracle(schedule)
    x0 = denoiser.law().sample(Rng(3)).expand(1, 2)
    x0 = torch.cat((x0, torch.tensor([[0.5, 0.4], [-0.9, 0.1]]).double()))
    times = Uniform().times(denoiser.process, 200)
    x1 = encode(denoiser, x0, sampler=sampler, times=times)
    *_, back = trajectory(denoiser, sampler, x1, times, rng=Rng(0))
    assert torch.allclose(back.x, x0, atol=2e-2 if isinstance(sampler, Heun) else 2e-3)


def test_data_are_encoded_as_noise():
    denoiser = oracle()
    law = denoiser.law()
    x0 = type(law)(law.log_weights.expand(4000, -1), law.means.expand(4000, -1, -1), law.stds).sample(Rng(5))
    x1 = encode(denoiser, x0, sampler=RungeKutta("midpoint"), times=Uniform().times(denoiser.process, 60))
    assert torch.allclose(x1.mean(0), torch.zeros(2).double(), atol=4.5 / math.sqrt(4000))
    assert torch.allclose(x1.var(0), torch.ones(2).double(), rtol=4.5 * math.sqrt(2 / 4000))


def test_encoding_by_a_stochastic_sampler_is_refused():
    with pytest.raises(ValueError, match="deterministic"):
        encode(oracle(), start(), sampler=Ancestral(), times=[1.0, 0.0])


def test_interpolation_starts_and_ends_at_its_ends_and_keeps_the_norm():
    a, b = Rng(0).normal(torch.empty(3, 4, 4).double()), Rng(1).normal(torch.empty(3, 4, 4).double())
    assert torch.allclose(interpolate(a, b, 0.0), a)
    assert torch.allclose(interpolate(a, b, 1.0), b)
    same = b * (a.flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1))[:, None, None]
    middle = interpolate(a, same, 0.3)
    assert torch.allclose(middle.flatten(1).norm(dim=1), a.flatten(1).norm(dim=1))
