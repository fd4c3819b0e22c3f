"""Killed before or after any operation of a save or an export, a run goes on from the old or the new state."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faulty_disk import Killed, NoExchange, Numbered, Plain, Stopping

from reverie.core import files
from reverie.core.disk import Disk, use
from reverie.core.errors import UserError
from reverie.training.checkpoint import Checkpoints


def save(folder: Path, step: int, value: float) -> None:
    Checkpoints(folder, keep=1).save(step, {"model": {"w": torch.full((5,), value)}}, {"value": value})


def litter(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith((".tmp", ".old")))


def operations(action: Callable[[], object], inner: Disk) -> int:
    with use(disk := Numbered(inner)):
        action()
    return disk.number


@pytest.mark.parametrize("inner", [Plain, NoExchange])
@pytest.mark.parametrize("step", [20, 10])
def test_a_kill_at_any_operation_of_a_save_leaves_the_old_or_the_new_resume_point(
    tmp_path: Path, step: int, inner: Callable[[], Disk]
) -> None:
    with use(inner()):
        save(tmp_path / "count", 10, 1.0)
    count = operations(lambda: save(tmp_path / "count", step, 2.0), inner())
    assert count >= 15
    for at in range(count):
        for late in (False, True):
            folder = tmp_path / f"{at}{late}"
            with use(inner()):
                save(folder, 10, 1.0)
            with use(Stopping(at, late=late, inner=inner())), pytest.raises(Killed):
                save(folder, step, 2.0)
            said: list[str] = []
            loaded = Checkpoints(folder, keep=1).latest(said.append)
            assert loaded is not None
            assert loaded.state["value"] in (1.0, 2.0)
            assert loaded.tensors["model"]["w"].tolist() == [loaded.state["value"]] * 5
            assert said == []
            with use(inner()):
                save(folder, 30, 3.0)
            assert os.listdir(folder) == ["step-00000030"]


@pytest.mark.parametrize("inner", [Plain, NoExchange])
def test_a_sigkill_at_any_operation_of_an_export_leaves_the_old_or_the_new_model(
    tmp_path: Path, inner: Callable[[], Disk]
) -> None:
    model = tmp_path / "model"
    write = lambda text: files.write_folder(model, {"config.json": text, "w": bytes(3000)}, replace=True)  # noqa: E731
    with use(inner()):
        write(b"0")
        count = operations(lambda: write(b"1"), inner())
    before = b"1"
    for at in range(count):
        child = os.fork()
        if not child:
            with use(Stopping(at, inner=inner(), kill=lambda: os.kill(os.getpid(), signal.SIGKILL))):
                write(b"%d" % at)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        found = files.read_folder(model)["config.json"]
        assert found in (before, b"%d" % at)
        before = found
    files.sweep(tmp_path)
    with use(inner()):
        write(b"last")
    assert os.listdir(tmp_path) == ["model"]


def test_a_kill_while_the_log_is_cut_back_leaves_it_whole_or_cut(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    text = "".join(f'{{"step": {n}}}\n' for n in range(6))
    cut = "".join(f'{{"step": {n}}}\n' for n in range(3))
    action = lambda: files.truncate_lines(log, lambda line: line["step"] < 3)  # noqa: E731
    log.write_text(text)
    for at in range(operations(action, Plain())):
        log.write_text(text)
        with use(Stopping(at)), pytest.raises(Killed):
            action()
        assert log.read_text() in (text, cut)
        assert action() == (3 if log.read_text() == text else 0) or log.read_text() == cut


def test_writing_in_place_would_be_caught(tmp_path: Path) -> None:
    """A mutant: the files go straight into the named folder."""

    def careless(value: bytes) -> None:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        for name in ("config.json", "manifest.json"):
            (folder / name).unlink(missing_ok=True)
            files._put(folder / name, value)

    files.write_folder(tmp_path / "model", {"config.json": b"0"})
    lost = 0
    for at in range(8):
        with use(Stopping(at)), pytest.raises(Killed):
            careless(b"1")
        try:
            files.read_folder(tmp_path / "model")
        except UserError:
            lost += 1
    assert lost > 0
