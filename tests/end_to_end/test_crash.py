"""A run that is killed again and again, or asked to stop, ends with the same bytes as one that was left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from child_process import DEADLINE, start, wait

from reverie.core import files

STEPS = 120
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
COMPARED = ("model/config.json", "model/model.safetensors", "metrics.jsonl", "samples.png")
OPTIONS = [
    "swiss-roll", "--steps", str(STEPS), "--quiet", "--device", "cpu", "--training.batch", "32",
    "--network.width", "16", "--network.depth", "1", "--training.previews", "1", "--training.checkpoints", "24",
]  # fmt: skip


def when(ready: Callable[[], bool], child: BaseProcess) -> None:
    """Wait for something to happen on the disk while the child lives."""
    until = time.monotonic() + DEADLINE
    while not ready():
        assert time.monotonic() < until, "the run did not get so far"
        assert child.exitcode is None, "the run ended before it could be stopped"
        time.sleep(0.001)


def begin(run: Path) -> list[str]:
    """What to type next: a run that has its description goes on; one killed before that starts again."""
    if (run / "run.json").exists():
        return ["train", "--resume", str(run), "--quiet", "--device", "cpu"]
    for entry in sorted(run.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink()
    if run.exists():
        run.rmdir()
    return ["train", *OPTIONS, "--out", str(run)]


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in COMPARED}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The files of a run that was left alone, and the seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert wait(start(begin(folder / "run"), folder / "log")) == 0, (folder / "log").read_text()
    return contents(folder / "run"), time.monotonic() - began


def killed_and_resumed(folder: Path, kills: int, seconds: float, draw: random.Random) -> int:
    """Kill the run so many times at random moments, then let it end; returns how many kills came inside a save."""
    run, log, inside = folder / "run", folder / "log", 0
    for _ in range(kills):
        child = start(begin(run), log)
        time.sleep(draw.random() * seconds)
        child.kill()
        if wait(child) == 0:  # it was faster
            break
        inside += bool(list((run / "checkpoints").glob(".tmp-*"))) if run.exists() else 0
    assert wait(start(begin(run), log)) == 0, log.read_text()
    assert not list(run.rglob(".tmp-*"))
    assert "Traceback" not in log.read_text()
    return inside


def test_a_run_killed_three_times_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    expected, seconds = undisturbed
    killed_and_resumed(tmp_path, 3, 0.6 * seconds, random.Random(0))
    assert contents(tmp_path / "run") == expected


@pytest.mark.slow
def test_runs_killed_many_times_end_with_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    expected, seconds = undisturbed
    draw = random.Random(1)
    for n in range(4):
        folder = tmp_path / str(n)
        folder.mkdir()
        killed_and_resumed(folder, 5, 0.5 * seconds, draw)
        assert contents(folder / "run") == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_asked_to_stop_saves_says_how_to_go_on_and_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float], number: int, code: int
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    child = start(begin(run), log)
    when(lambda: bool(list((run / "checkpoints").glob("step-*"))), child)
    os.kill(child.pid, number)
    assert wait(child) == code, log.read_text()
    assert f"reverie train --resume {run}" in log.read_text()
    assert not (run / "model").exists()
    assert wait(start(begin(run), log)) == 0, log.read_text()
    assert contents(run) == undisturbed[0]


def test_a_second_signal_loses_no_resume_point(tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    child = start(begin(run), log)
    when(lambda: bool(list((run / "checkpoints").glob("step-*"))), child)
    os.kill(child.pid, signal.SIGINT)
    os.kill(child.pid, signal.SIGTERM)
    assert wait(child) in (130, 143), log.read_text()
    assert wait(start(begin(run), log)) == 0, log.read_text()
    assert contents(run) == undisturbed[0]


def test_a_second_trainer_is_refused_and_harms_nothing(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    run, log, other = tmp_path / "run", tmp_path / "log", tmp_path / "other"
    child = start(begin(run), log)
    when(lambda: bool(list((run / "checkpoints").glob("step-*"))), child)
    os.kill(child.pid, signal.SIGSTOP)
    ahead = '{"step": 100000}\n'  # as logged between two resume points
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(ahead)
    assert wait(start(begin(run), other)) == 2
    assert f"process {child.pid}" in other.read_text()
    assert (run / "metrics.jsonl").read_text().endswith(ahead)
    files.truncate_lines(run / "metrics.jsonl", lambda line: line["step"] < 100000)
    os.kill(child.pid, signal.SIGCONT)
    assert wait(child) == 0, log.read_text()
    assert contents(run) == undisturbed[0]


def test_a_run_killed_between_its_last_update_and_its_model_looks_at_itself_once(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    child = start(begin(run), log)
    when(lambda: (run / "checkpoints" / f"step-{STEPS:08d}").exists(), child)
    child.kill()
    assert wait(child) == -signal.SIGKILL
    shutil.rmtree(run / "model", ignore_errors=True)
    assert wait(start(begin(run), log)) == 0, log.read_text()
    assert contents(run) == undisturbed[0]
