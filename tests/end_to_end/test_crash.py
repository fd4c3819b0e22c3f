"""A run that is killed again and again, or asked to stop, ends with the same bytes as one that was left alone.

Each run is the command line in a forked child, so that it can be killed as a whole at any moment.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reverie.cli.main import main
from reverie.core import files

STEPS = 120
DEADLINE = 120.0  # seconds; only ever reached by a fault
COMPARED = ("model/config.json", "model/model.safetensors", "metrics.jsonl", "samples.png")
OPTIONS = [
    "swiss-roll", "--steps", str(STEPS), "--quiet", "--device", "cpu", "--training.batch", "32",
    "--network.width", "16", "--network.depth", "1", "--training.previews", "1", "--training.checkpoints", "24",
]  # fmt: skip


def start(arguments: list[str], log: Path) -> int:
    """The command line in a child; returns its process number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        sys.stdout = sys.stderr = log.open("a", buffering=1)
        faulthandler.dump_traceback_later(20, file=sys.stderr)
        torch.set_num_threads(1)
        code = main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(child: int) -> int:
    """Its exit code, or minus the signal that ended it."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the run did not end")


def when(ready: Callable[[], bool], child: int) -> None:
    """Wait for something to happen on the disk while the child lives."""
    until = time.monotonic() + DEADLINE
    while not ready():
        assert time.monotonic() < until, "the run did not get so far"
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the run ended before it could be stopped"
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
        os.kill(child, signal.SIGKILL)
        if wait(child) == 0:  # it was faster
            break
        inside += bool(list((run / "checkpoints").glob(".tmp-*"))) if run.exists() else 0
    assert wait(start(begin(run), log)) == 0, log.read_text()
    assert not list(run.rglob(".tmp-*"))
    assert "Traceback" not in log.read_text()
    return inside


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_three_times_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    expected, seconds = undisturbed
    killed_and_resumed(tmp_path, 3, 0.6 * seconds, random.Random(0))
    assert contents(tmp_path / "run") == expected


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_asked_to_stop_saves_says_how_to_go_on_and_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float], number: int, code: int
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    child = start(begin(run), log)
    when(lambda: bool(list((run / "checkpoints").glob("step-*"))), child)
    os.kill(child, number)
    assert wait(child) == code, log.read_text()
    assert f"reverie train --resume {run}" in log.read_text()
    assert not (run / "model").exists()
    assert wait(start(begin(run), log)) == 0, log.read_text()
    assert contents(run) == undisturbed[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_second_trainer_is_refused_and_harms_nothing(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    run, log, other = tmp_path / "run", tmp_path / "log", tmp_path / "other"
    child = start(begin(run), log)
    when(lambda: bool(list((run / "checkpoints").glob("step-*"))), child)
    os.kill(child, signal.SIGSTOP)
    ahead = '{"step": 100000}\n'  # as logged between two resume points
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(ahead)
    assert wait(start(begin(run), other)) == 2
    assert f"process {child}" in other.read_text()
    assert (run / "metrics.jsonl").read_text().endswith(ahead)
    files.truncate_lines(run / "metrics.jsonl", lambda line: line["step"] < 100000)
    os.kill(child, signal.SIGCONT)
    assert wait(child) == 0, log.read_text()
    assert contents(run) == undisturbed[0]
