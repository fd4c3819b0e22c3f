"""Damage to a resume point is found by its manifest and named; the one before it is taken, or nothing at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faulty_disk import Plain

from reverie.core.disk import use
from reverie.core.errors import BAD_DATA, UserError
from reverie.training.checkpoint import Checkpoints

FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json", "manifest.json")
Edit = Callable[[bytes], bytes | None]


def flip(place: float) -> Edit:
    def edit(data: bytes) -> bytes:
        at = min(int(place * len(data)), len(data) - 1)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return edit


EDITS: dict[str, Edit] = {
    "removed": lambda data: None,
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
    "first bit flipped": flip(0),
    "bit flipped at 1/10": flip(0.1),
    "bit flipped in the middle": flip(0.5),
    "bit flipped at 9/10": flip(0.9),
    "last bit flipped": flip(1),
}


def make(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep=3)
    with use(Plain()):
        for step in (10, 20):
            group = {"w": torch.full((40,), float(step)), "b": torch.arange(3)}
            checkpoints.save(step, {"model": group, "average": group, "optimizer": group}, {"step": step})
    return checkpoints


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("edit", EDITS)
def test_damage_is_named_and_the_resume_point_before_is_taken(tmp_path: Path, name: str, edit: str) -> None:
    checkpoints = make(tmp_path)
    path = checkpoints.path(20) / name
    data = EDITS[edit](path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    said: list[str] = []
    loaded = checkpoints.latest(said.append)
    assert loaded is not None
    assert loaded.step == 10
    assert len(said) == 1
    assert name == "manifest.json" or str(path) in said[0]
    assert str(checkpoints.path(20)) in said[0]
    with pytest.raises(UserError) as told:
        checkpoints.load(checkpoints.path(20))
    assert told.value.code == BAD_DATA
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000010", "step-00000020"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_resume_point_is_noticed(tmp_path: Path, name: str) -> None:
    checkpoints = make(tmp_path)
    shutil.copyfile(checkpoints.path(10) / name, checkpoints.path(20) / name)
    loaded = checkpoints.latest()
    assert loaded is not None
    assert loaded.step == 10


def test_a_resume_point_under_another_name_is_noticed(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)
    shutil.copytree(checkpoints.path(10), checkpoints.path(30))
    said: list[str] = []
    loaded = checkpoints.latest(said.append)
    assert loaded is not None
    assert loaded.step == 20
    assert "holds step 10" in said[0]


def test_when_all_are_damaged_nothing_starts_afresh(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)
    for step in (10, 20):
        (checkpoints.path(step) / "manifest.json").unlink()
    with pytest.raises(UserError, match="none of the 2 resume points") as told:
        checkpoints.latest()
    assert told.value.code == BAD_DATA


@pytest.mark.parametrize("wrong", ["step-00000099", "", "nothing/there", "step-00000020/state.json", "../x"])
def test_an_explicit_path_never_falls_back(tmp_path: Path, wrong: str) -> None:
    checkpoints = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as told:
        checkpoints.load(tmp_path / wrong)
    assert told.value.code == BAD_DATA
    assert sorted(tmp_path.rglob("*")) == before


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)
    from reverie.core import files

    files.write_folder(tmp_path / "step-00000030", {"state.json": b'{"format_version": 99, "step": 30, "state": {}}'})
    with pytest.raises(UserError, match="format version 99"):
        checkpoints.load(tmp_path / "step-00000030")


def test_a_folder_that_may_not_be_read_is_an_error_of_the_disk_and_no_reason_to_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = make(tmp_path)

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("reverie.core.manifest.os.open", refuse)
    with pytest.raises(UserError, match="Permission denied") as told:
        checkpoints.latest()
    assert told.value.code == 74
