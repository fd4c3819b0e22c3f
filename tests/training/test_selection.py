"""Best weights, early stopping and averages chosen after training: as the uninterrupted run would have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie import pictures
from reverie.cli.main import main
from reverie.core import files, modelfile
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.training.ema import Average, exponent
from reverie.training.model import load
from reverie.training.session import Session
from reverie.training.snapshots import WIDTHS, Profile, Tracks, coefficients, found, reachable, reconstruct
from reverie.training.tuned import average_losses

SMALL = {"steps": 40, "batch": 16, "warmup": 5, "previews": 1, "checkpoints": 4, "precision": "fp32"}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine tenths of so short a run would be its plots, which are not what is tested here."""
    blank = pictures.png(np.zeros((1, 1, 3), dtype=np.uint8))
    monkeypatch.setattr(pictures, "render", lambda figure: blank)


def begin(path: Path, **training: Any) -> Session:
    network = {"name": "mlp", "width": 16, "depth": 1}
    return Session.begin("moons", {"training": {**SMALL, **training}, "network": network}, path=path)


def stopped_and_resumed(path: Path, at: int, monkeypatch: pytest.MonkeyPatch, **training: Any) -> None:
    """A run that dies after update `at`, some updates after its last resume point, and goes on."""
    session = begin(path, **training)
    after = session._after

    def dies(progress: Any) -> None:
        after(progress)
        if progress.step == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(session, "_after", dies)
    with pytest.raises(KeyboardInterrupt):
        session.go()
    Session.resume(path).go()


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def looks(run: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [e for e in entries if "by_time" in e]


@pytest.mark.parametrize("select", ["held_out", pytest.param("energy", marks=pytest.mark.slow)])
def test_the_weights_with_the_best_figure_are_kept_also_across_a_crash(
    select: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate that spoils the end: the best look is not the last one, and the model is that of the best."""
    wild = {"learning_rate": 0.3, "decay": 0.0, "ema": 0.0, "clip": 100.0, "evaluate_every": 4, "select": select}
    begin(tmp_path / "whole", **wild).go()
    entries = looks(tmp_path / "whole")
    best = min(entries, key=lambda e: e[select])
    assert [e["step"] for e in entries] == list(range(4, 41, 4))
    assert best["step"] < 40
    model = load(tmp_path / "whole")
    assert model.summary["steps"] == best["step"]
    assert model.summary["held_out_loss"] == best["held_out"]
    stopped_and_resumed(tmp_path / "torn", 33, monkeypatch, **wild)
    assert weights(tmp_path / "torn") == weights(tmp_path / "whole")
    assert looks(tmp_path / "torn") == entries


def test_a_run_stops_when_its_figure_has_not_got_better_for_some_looks(tmp_path: Path) -> None:
    begin(tmp_path / "run", learning_rate=0.3, decay=0.0, ema=0.0, evaluate_every=2, patience=3, select="held_out").go()
    entries = [e["held_out"] for e in looks(tmp_path / "run")]
    assert len(entries) < 20
    assert min(entries[-4:]) >= min(entries[:-3])  # the last look is taken again when a run ends


def test_looking_changes_no_weight(tmp_path: Path) -> None:
    begin(tmp_path / "seen", evaluate_every=3, snapshots=2).go()
    begin(tmp_path / "unseen").go()
    assert weights(tmp_path / "seen") == weights(tmp_path / "unseen")


def test_snapshots_of_a_resumed_run_are_those_of_the_whole_and_none_of_a_past_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path / "whole", snapshots=8).go()
    stopped_and_resumed(tmp_path / "torn", 27, monkeypatch, snapshots=8)
    for (step, one), (other, two) in zip(found(tmp_path / "whole"), found(tmp_path / "torn"), strict=True):
        assert step == other
        assert one.read_bytes() == two.read_bytes()
    session = Session.resume(tmp_path / "torn", length={"steps": 60})
    files.write_file(tmp_path / "torn" / "snapshots" / "step-00000055.safetensors", b"of another past")
    session.folder.rewind(session.run.step)
    assert [step for step, _ in found(tmp_path / "torn")] == list(range(5, 41, 5))


def test_a_profile_times_another_is_their_integral() -> None:
    one, two = Profile(30, exponent(0.1)), Profile(50, exponent(0.05))
    tau = (torch.arange(300_000, dtype=torch.float64) + 0.5) / 10_000
    p, q = ((f.gamma + 1) * tau**f.gamma / f.step ** (f.gamma + 1) for f in (one, two))
    assert one.dot(two) == pytest.approx(float((p * q).sum() / 10_000), rel=1e-6)
    assert one.dot(two) == two.dot(one)


def test_an_average_of_any_length_is_put_together_from_two(tmp_path: Path) -> None:
    """A random walk of weights: the reconstruction is within a few per cent of the average kept at every update."""
    module, steps = torch.nn.Linear(50, 40), 400
    wanted = {width: Average(module, width) for width in (0.04, 0.07, 0.15)}
    tracks = Tracks(module, wanted=True)
    for step in range(1, steps + 1):
        with torch.no_grad():
            for k, p in enumerate(module.parameters()):
                p.add_(0.1 * Rng(step).fork(k).normal(p.detach()))
        for average in (*wanted.values(), tracks):
            average.update(step)
        if step % 40 == 0:
            tracks.write(tmp_path, step)
    for width, average in wanted.items():
        made, missed = reconstruct(tmp_path, width)
        own, last = average.module.state_dict()["weight"], module.state_dict()["weight"]
        apart = float((made["weight"] - own).norm() / (last - own).norm())
        assert missed < 0.1
        assert apart < 0.05, width
    for width in WIDTHS:
        x, missed = coefficients([Profile(400, exponent(w)) for w in WIDTHS], Profile(400, exponent(width)))
        assert missed < 1e-6
        assert x.tolist() == pytest.approx([float(w == width) for w in WIDTHS], abs=1e-6)
    with pytest.raises(UserError, match="miss"):
        reconstruct(tmp_path, 0.005)
    with pytest.raises(UserError, match=r"training\.snapshots"):
        reconstruct(tmp_path / "elsewhere", 0.1)


def test_tune_keeps_the_average_that_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    begin(run, snapshots=8).go()
    same = average_losses(run, [0.1])[0.1]
    assert same == pytest.approx(load(run).summary["held_out_loss"], rel=1e-3)  # the run's own average
    assert main(["tune", str(run), "--ema", "auto"]) == 0
    assert "kept" in capsys.readouterr().out
    model = load(run)
    least = min(average_losses(run, reachable(run)).values())
    assert model.summary["held_out_loss"] == pytest.approx(least)
    stored = files.read_folder(run / "model")
    assert modelfile.read_config(stored["config.json"])["config"]["training"]["ema"] == model.config["training"]["ema"]
    assert main(["tune", str(run), "--ema", "short"]) == 2
