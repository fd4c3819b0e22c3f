"""Laws of training: a resumed run is the uninterrupted one, how a batch is cut does not matter, averages are exact."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
from collections import deque
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from reverie.core.errors import NON_FINITE, UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import Denoiser, EmpiricalData, NetworkDenoiser
from reverie.denoisers.prediction import F
from reverie.losses import EdmWeight, LogNormal, Regression
from reverie.networks import Mlp, initialise
from reverie.processes import Gaussian, VpLinear
from reverie.training.checkpoint import Checkpoints
from reverie.training.ema import Average, exponent
from reverie.training.loop import held_out_loss, plan, train
from reverie.training.options import Training
from reverie.training.run import Run
from reverie.training.session import Session


def denoiser_of_points(classes: int = 2, seed: int = 0) -> Denoiser:
    network = Mlp(shape=(2,), classes=classes, width=32, depth=2)
    initialise(network, seed)
    return NetworkDenoiser(Gaussian(VpLinear()), network, F(data_std=1.0))


def run_on_moons(**options: object) -> Run:
    chosen = Training(**{"steps": 20, "batch": 16, "precision": "fp32", "warmup": 5, **options})  # type: ignore[arg-type]
    loss = Regression(weight=EdmWeight(), times=LogNormal())
    return Run(denoiser_of_points(), loss, open_data("moons"), chosen, seed=3)


def weights(run: Run) -> list[torch.Tensor]:
    return [*run.denoiser.state_dict().values(), *run.average.module.state_dict().values()]


def same(a: Run, b: Run) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.mark.parametrize("options", [{}, {"accumulate": 4}, {"ema": 0.0}, {"label_dropout": 0.5, "balance": True}])
@pytest.mark.parametrize("stop", [1, 10, 19])
def test_stopping_saving_and_resuming_changes_no_bit(options: dict[str, object], stop: int, tmp_path) -> None:
    whole = run_on_moons(**options)
    losses = [p.loss for p in train(whole)]
    first = run_on_moons(**options)
    begun = [p.loss for p in islice(train(first), stop)]
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(first.step, first.tensors(), first.state())
    second = run_on_moons(**options)
    saved = checkpoints.latest()
    assert saved is not None
    assert second.restore(saved) == []
    assert begun + [p.loss for p in train(second)] == losses
    assert same(whole, second)


@pytest.mark.parametrize("forgotten", ["optimizer", "average"])
def test_a_resume_that_forgets_something_is_noticed(forgotten: str, tmp_path) -> None:
    """The mutant of the law above."""
    whole, first, second = run_on_moons(), run_on_moons(), run_on_moons()
    list(train(whole))
    list(islice(train(first), 10))
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(first.step, first.tensors(), first.state())
    saved = checkpoints.latest()
    assert saved is not None
    lost = {name: torch.zeros_like(tensor) for name, tensor in saved.tensors[forgotten].items()}
    second.restore(dataclasses.replace(saved, tensors={**saved.tensors, forgotten: lost}))
    list(train(second))
    assert not same(whole, second)


def test_saving_sampling_and_validating_do_not_change_the_run(tmp_path) -> None:
    plain, watched = run_on_moons(), run_on_moons()
    list(train(plain))
    for progress in train(watched):
        if progress.step % 5 == 0:
            held_out_loss(watched)
            Checkpoints(tmp_path, keep=1).save(watched.step, watched.tensors(), watched.state())
            torch.randn(3)  # the global generator is nobody's business
    assert same(plain, watched)


def test_a_batch_in_parts_has_the_gradient_of_the_whole() -> None:
    whole, parts = run_on_moons(steps=3), run_on_moons(steps=3, accumulate=4)
    for p, q in zip(train(whole), train(parts), strict=True):
        assert p.loss == pytest.approx(q.loss, rel=1e-5)
        assert p.grad_norm == pytest.approx(q.grad_norm, rel=1e-4)


def test_the_average_of_the_weights_is_its_closed_form() -> None:
    """θ̂_n = Σ_i c_i θ_i with c_i ∝ ∫_{i−1}^{i} τ^γ dτ = (i^{γ+1} − (i−1)^{γ+1})/(γ+1)."""
    module, width, n = torch.nn.Linear(3, 2).double(), 0.1, 40
    average = Average(module, width)
    history = []
    for step in range(1, n + 1):
        with torch.no_grad():
            for k, p in enumerate(module.parameters()):
                p.copy_(Rng(step).fork(k).normal(p.detach()))
        history.append([p.detach().clone() for p in module.parameters()])
        average.update(step)
    power = exponent(width) + 1
    share = torch.tensor([i**power - (i - 1) ** power for i in range(1, n + 1)], dtype=torch.float64)
    share /= share.sum()
    for k, p in enumerate(average.module.parameters()):
        expected = sum(c * theta[k] for c, theta in zip(share, history, strict=True))
        assert torch.allclose(p, expected, rtol=0, atol=1e-12)


def test_the_width_of_the_average_is_the_share_that_was_asked_for() -> None:
    """The profile (i/n)^γ on [0, 1] has standard deviation `width`, by numbers."""
    tau = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for width in (0.05, 0.1, 0.2):
        density = tau ** exponent(width)
        density /= density.sum()
        mean = (density * tau).sum()
        assert float((density * (tau - mean) ** 2).sum().sqrt()) == pytest.approx(width, rel=1e-6)


def test_a_network_overfits_sixteen_points_up_to_the_best_there_is() -> None:
    """No posterior mean has a lower loss than that of the empirical law; a network comes within a fifth of it."""
    points = 2 * Rng(0).uniform(16, 2).float() - 1
    network = initialise(Mlp(shape=(2,), width=64, depth=2), 0)
    denoiser = NetworkDenoiser(Gaussian(VpLinear()), network, F(data_std=0.6), data_std=0.6)
    best = EmpiricalData(denoiser.process, points)
    loss, optimizer = (
        Regression(weight=EdmWeight(data_std=0.6), times=LogNormal()),
        torch.optim.Adam(network.parameters()),
    )
    for step in range(800):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - step / 800)
        optimizer.zero_grad()
        loss(denoiser, points.repeat(16, 1), rng=Rng(step)).mean().backward()
        optimizer.step()
    with torch.no_grad():
        reached, least = (float(loss(d, points.repeat(64, 1), rng=Rng(9999)).mean()) for d in (denoiser, best))
    assert least < reached < 1.2 * least


def test_a_value_that_is_not_finite_stops_the_run_before_it_touches_anything() -> None:
    run = run_on_moons()
    list(islice(train(run), 3))
    before = [w.clone() for w in weights(run)]
    with torch.no_grad():
        kept = run.parameters[0][0, 0].item()
        run.parameters[0][0, 0] = float("nan")
    with pytest.raises(UserError, match=r"update 4: .*not finite.*examples") as caught:
        run.update()
    with torch.no_grad():
        run.parameters[0][0, 0] = kept
    assert caught.value.code == NON_FINITE
    assert all(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))
    assert run.step == 3


def test_the_learning_rate_rises_and_falls() -> None:
    run = run_on_moons(steps=100, warmup=10, decay=0.5, learning_rate=1.0)
    rates = [run.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == pytest.approx([1.0] * 41)
    assert rates[75] == pytest.approx(0.5)
    assert rates[99] < 0.01


def test_held_out_examples_are_never_trained_on() -> None:
    run = run_on_moons()
    shown = torch.cat([run.feed.examples(range(k * 512, (k + 1) * 512)) for k in range(80)])
    assert not set(shown.tolist()) & set(run.held_index.tolist())
    assert len(run.held_index) == round(0.1 * (len(run.held_index) + len(run.train_index)))


def test_the_length_of_a_run_is_planned_from_the_time_of_its_first_updates() -> None:
    assert plan([1.0, 0.5, *[0.1] * 20], left=57.0) == pytest.approx(0.95 * 57.0 / 0.1, abs=1)
    assert plan([0.1] * 20, left=-3.0) == 1


@pytest.mark.parametrize("slower", [0.25, 1.0, 30.0])
def test_a_timed_run_ends_in_time_when_the_machine_changes_its_pace(slower: float) -> None:
    options, world = SimpleNamespace(minutes=10, steps=None), SimpleNamespace(same=lambda value: value)
    run = SimpleNamespace(options=options, planned=None)
    session = SimpleNamespace(run=run, world=world, elapsed=0.0, _durations=deque(maxlen=50))
    step = 0
    while run.planned is None or step < run.planned:
        seconds = 0.1 * (slower if session.elapsed > 400 else 1.0)
        session.elapsed, step = session.elapsed + seconds, step + 1
        session._durations.append(seconds)
        Session._length(session, step)  # type: ignore[arg-type]
    assert session.elapsed == pytest.approx(600, rel=0.06)


SCRIPT = """
    import sys, torch
    from safetensors.torch import save_file
    torch.set_num_threads(1)
    sys.path.insert(0, {tests!r})
    from test_training import denoiser_of_points
    from reverie.data import open_data
    from reverie.losses import EdmWeight, LogNormal, Regression
    from reverie.training.distributed import join, leave
    from reverie.training.loop import train
    from reverie.training.options import Training
    from reverie.training.run import Run
    world = join(torch.device("cpu"))
    options = Training(steps=5, batch=16, precision="fp32", warmup=2, accumulate=int(sys.argv[2]))
    loss = Regression(weight=EdmWeight(), times=LogNormal())
    run = Run(denoiser_of_points(), loss, open_data("moons"), options, seed=3, world=world)
    losses = [p.loss for p in train(run)]
    if world.is_main:
        save_file({{"losses": torch.tensor(losses), **run.denoiser.state_dict()}}, sys.argv[1])
    leave(world, 0)
"""


def test_two_processes_with_half_the_batch_are_one_process(tmp_path) -> None:
    """The same examples, noise and times, whoever computes them: equal to rounding after five updates."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent)))
    results = []
    for processes, parts in ((1, 1), (2, 2)):
        out = tmp_path / f"out{processes}.safetensors"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        done = subprocess.run(
            [*command, str(script), str(out), str(parts)], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-2000:]
        results.append(load_file(out))
    one, two = results
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=1e-4, atol=1e-5), name
