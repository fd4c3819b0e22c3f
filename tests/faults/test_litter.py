"""What else lies in the folder, who else writes there, and what may be removed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from faulty_disk import Plain

from reverie.core.disk import use
from reverie.core.errors import UserError
from reverie.core.lock import Lock
from reverie.training.checkpoint import Checkpoints

HOLDER = """
import sys, time
from reverie.core.lock import Lock
Lock(sys.argv[1]).__enter__()
print("held", flush=True)
time.sleep(60)
"""


def save(checkpoints: Checkpoints, step: int) -> None:
    checkpoints.save(step, {"model": {"w": torch.full((3,), float(step))}}, {})


def test_litter_is_ignored(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 10)
    for name in ("step-10.bak", "step-00000090.abandoned", "step-99", "step-0000009x", ".tmp-1-ab", "Step-00000099"):
        (tmp_path / name).mkdir()
    for name in (".DS_Store", "step-00000099", "Thumbs.db", "latest"):
        (tmp_path / name).write_text("step-00000099")
    (checkpoints.path(10) / ".DS_Store").write_text("")
    assert checkpoints.steps() == [10]
    loaded = checkpoints.latest(pytest.fail)
    assert loaded is not None
    assert loaded.step == 10


def test_what_a_dead_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f".tmp-{pid}-abcdef" / "inner").mkdir(parents=True)
    save(Checkpoints(tmp_path), 10)
    assert sorted(os.listdir(tmp_path)) == [f".tmp-{os.getppid()}-abcdef", "step-00000010"]


def test_an_empty_folder_has_no_resume_point(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).latest() is None
    assert Checkpoints(tmp_path / "missing").latest() is None


def test_the_newest_and_the_milestones_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, keep_every=40)
    with use(Plain()):
        for step in range(10, 101, 10):
            save(checkpoints, step)
    assert checkpoints.steps() == [40, 80, 90, 100]


def test_the_first_stays_where_it_is_wanted(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1, keep_first=True)
    with use(Plain()):
        for step in range(10, 51, 10):
            save(checkpoints, step)
    assert checkpoints.steps() == [10, 50]


def test_a_future_that_was_left_is_set_aside(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (10, 20, 30, 15):
        save(checkpoints, step)
    assert checkpoints.steps() == [15]
    assert sorted(p.name for p in tmp_path.glob("*.abandoned")) == [
        "step-00000020.abandoned",
        "step-00000030.abandoned",
    ]


def test_an_unverified_save_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    save(checkpoints, 10)
    real = Plain.write

    class Flipping(Plain):
        def write(self, fd: int, data: memoryview) -> int:
            return real(self, fd, memoryview(bytes(b ^ 1 for b in data)))

    with use(Flipping()), pytest.raises(UserError, match="step-00000020"):
        save(checkpoints, 20)
    loaded = checkpoints.latest()
    assert loaded is not None
    assert loaded.step == 10


def test_there_is_always_a_whole_resume_point(tmp_path: Path) -> None:
    draw = random.Random(0)
    folder, step = Checkpoints(tmp_path, keep=2), 0
    with use(Plain()):
        for _ in range(150):
            keep, every = draw.choice([1, 2, 3]), draw.choice([0, 0, 7])
            step = max(1, step + draw.choice([-3, 0, 1, 1, 2, 5]))
            save(Checkpoints(tmp_path, keep, every), step)
            newest = folder.steps()[-1]
            assert newest == step
            loaded = folder.latest(pytest.fail)
            assert loaded is not None
            assert loaded.tensors["model"]["w"][0] == step


def test_a_second_writer_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    with Lock(tmp_path), pytest.raises(UserError, match=rf"process {os.getpid()}"), Lock(tmp_path):
        pytest.fail("two writers")
    with Lock(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def held(folder: Path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with held(tmp_path) as holder:
        with pytest.raises(UserError, match=rf"process {holder.pid}"), Lock(tmp_path):
            pytest.fail("two writers")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / ".lock").exists()
        with Lock(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_child_does_not_keep_its_dead_parents_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    lock.__enter__()
    (ready, started), (ending, end) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        os.write(started, b"x")
        os.read(ending, 1)  # until the parent is done, or gone
        os._exit(0)
    try:
        os.read(ready, 1)
        os.close(lock._fd)  # type: ignore[arg-type]  # as if this process had died
        with Lock(tmp_path):
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
    finally:
        os.close(end)
        os.waitpid(child, 0)
        for fd in (ready, started, ending):
            os.close(fd)


def test_without_locks_in_the_system_the_file_itself_is_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.core.lock.fcntl", None)
    with Lock(tmp_path), pytest.raises(UserError, match=str(os.getpid())), Lock(tmp_path):
        pytest.fail("two writers")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / ".lock").write_text(f"{dead.pid}\n")
    began = time.monotonic()
    with Lock(tmp_path):
        assert time.monotonic() - began < 60
    assert os.listdir(tmp_path) == []
