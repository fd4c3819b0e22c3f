"""A disk that is full or fails: one sentence with exit code 74, what was there before untouched, nothing left over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faulty_disk import Full, NoExchange, Numbered, Plain, Refusing

from reverie.core import files
from reverie.core.disk import Disk, use
from reverie.core.errors import INPUT_OUTPUT, UserError
from reverie.training.checkpoint import Checkpoints


def save(folder: Path, step: int, value: float) -> None:
    tensors = {"model": {"w": torch.full((500,), value)}, "average": {"w": torch.full((500,), value)}}
    Checkpoints(folder, keep=1).save(step, tensors, {"value": value})


def value(folder: Path) -> float:
    said: list[str] = []
    loaded = Checkpoints(folder, keep=1).latest(said.append)
    assert loaded is not None
    assert said == []
    return loaded.state["value"]


def litter(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def refusal(action: Callable[[], object]) -> UserError | None:
    """What the user is told; any other exception is a fault of the package."""
    try:
        action()
    except UserError as error:
        return error
    return None


@pytest.mark.parametrize("room", range(0, 4600, 92))
def test_a_full_disk_keeps_the_earlier_resume_point_and_names_path_need_and_room(tmp_path: Path, room: int) -> None:
    with use(Plain()):
        save(tmp_path, 10, 1.0)
    with use(Full(room)), pytest.raises(UserError) as told:
        save(tmp_path, 20, 2.0)
    assert told.value.code == INPUT_OUTPUT
    message = str(told.value)
    assert "\n" not in message
    assert str(tmp_path / "step-00000020") in message
    assert "No space left" in message
    assert "bytes needed" in message
    assert "free" in message
    assert value(tmp_path) == 1.0
    assert litter(tmp_path) == []


@pytest.mark.parametrize("inner", [Plain, NoExchange])
@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("always", [False, True])
def test_an_error_at_any_operation_loses_no_resume_point(
    tmp_path: Path, code: int, always: bool, inner: Callable[[], Disk]
) -> None:
    with use(inner()):
        save(tmp_path / "count", 10, 1.0)
        with use(counting := Numbered(inner())):
            save(tmp_path / "count", 10, 2.0)
    for at in range(counting.number):
        folder = tmp_path / str(at)
        with use(inner()):
            save(folder, 10, 1.0)
        with use(Refusing(at, code, always=always, inner=inner())):
            told = refusal(lambda folder=folder: save(folder, 10, 2.0))
        assert told is None or (told.code == INPUT_OUTPUT and (always or code != errno.EIO))
        assert value(folder) in (1.0, 2.0)
        with use(inner()):
            save(folder, 30, 3.0)
        assert os.listdir(folder) == ["step-00000030"]


def test_a_passing_fault_of_the_disk_is_tried_again_from_the_start(tmp_path: Path) -> None:
    with use(counting := Numbered()):
        files.write_file(tmp_path / "run.json", b"{}")
    for at in range(counting.number):
        with use(disk := Refusing(at, errno.EIO)):
            files.write_file(tmp_path / "run.json", b"%d" % at)
        assert disk.refused == 1
        assert (tmp_path / "run.json").read_bytes() == b"%d" % at
        assert os.listdir(tmp_path) == ["run.json"]


def test_a_failed_sync_is_never_merely_repeated(tmp_path: Path) -> None:
    """After a failed fsync the system may have dropped the data and call the next one a success."""

    class Counting(Refusing):
        written = 0

        def write(self, fd: int, data: memoryview) -> int:
            self.written += 1
            return super().write(fd, data)

    with use(disk := Counting(2, errno.EIO)):  # open, write, fsync
        files.write_file(tmp_path / "run.json", b"{}")
    assert disk.written == 2


def test_a_line_that_does_not_fit_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    files.append_line(log, '{"step": 1}')
    with use(Full(5)), pytest.raises(UserError, match=r"metrics\.jsonl") as told:
        files.append_line(log, '{"step": 2}')
    assert told.value.code == INPUT_OUTPUT
    assert log.read_text() == '{"step": 1}\n'


def test_a_full_disk_keeps_the_earlier_model(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "model", {"a": b"old"})
    for room in (0, 1, 50, 100):
        with use(Full(room)), pytest.raises(UserError, match="No space left"):
            files.write_folder(tmp_path / "model", {"a": b"new", "b": bytes(100)}, replace=True)
        assert files.read_folder(tmp_path / "model") == {"a": b"old"}
        assert os.listdir(tmp_path) == ["model"]
