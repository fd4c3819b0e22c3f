"""Writing whole or not at all, reading against a manifest, and logs that grow by lines."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reverie.core import files
from reverie.core.errors import BAD_DATA, USAGE, UserError
from reverie.core.strict_json import parse


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    contents = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 50, "empty": b""}
    files.write_folder(tmp_path / "model", contents)
    assert files.read_folder(tmp_path / "model") == contents
    assert sorted(os.listdir(tmp_path / "model")) == sorted([*contents, "manifest.json"])
    assert os.listdir(tmp_path) == ["model"]


def test_a_folder_is_never_overwritten_unless_told(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "model", {"a": b"1"})
    with pytest.raises(UserError, match="already exists") as told:
        files.write_folder(tmp_path / "model", {"a": b"2"})
    assert told.value.code == USAGE
    assert files.read_folder(tmp_path / "model") == {"a": b"1"}
    files.write_folder(tmp_path / "model", {"b": b"2"}, replace=True)
    assert files.read_folder(tmp_path / "model") == {"b": b"2"}


@pytest.mark.parametrize("name", ["../a", "a/b", "/a", "", ".hidden", "manifest.json", "a\nb", "a" * 200])
def test_names_that_could_leave_or_hide_in_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        files.write_folder(tmp_path / "model", {name: b""})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", ".hidden"])
def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    folder = tmp_path / "model"
    folder.mkdir()
    listed = {name: {"sha256": "0" * 64, "bytes": 1}}
    (folder / "manifest.json").write_text(json.dumps({"format_version": 1, "files": listed}))
    with pytest.raises(UserError, match="not understood") as told:
        files.read_folder(folder)
    assert told.value.code == BAD_DATA


def test_a_folder_without_a_manifest_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"manifest\.json' is missing") as told:
        files.read_folder(tmp_path)
    assert told.value.code == BAD_DATA


def test_a_file_that_is_needed_must_be_listed(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "model", {"a": b"1"})
    with pytest.raises(UserError, match=r"does not list config\.json"):
        files.read_folder(tmp_path / "model", needs=("config.json",))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "model", {"a": b"1"})
    (tmp_path / "model" / "a").unlink()
    os.mkfifo(tmp_path / "model" / "a")
    with pytest.raises(UserError, match="is not a file"):
        files.read_folder(tmp_path / "model")


def test_other_files_beside_those_listed_are_not_looked_at(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "model", {"a": b"1"})
    (tmp_path / "model" / "README.md").write_text("mine")
    assert files.read_folder(tmp_path / "model") == {"a": b"1"}


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    for text in (b"first", b"second and longer", b""):
        files.write_file(tmp_path / "run.json", text)
        assert (tmp_path / "run.json").read_bytes() == text
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file") as told:
        files.write_file(tmp_path / "missing" / "run.json", b"")
    assert told.value.code == 74
    files.make_folder(tmp_path / "missing" / "deep")
    files.write_file(tmp_path / "missing" / "deep" / "run.json", b"")


def test_a_resumed_log_keeps_what_was_before_and_loses_a_torn_end(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    for step in range(5):
        files.append_line(log, json.dumps({"step": step}))
    with log.open("a") as stream:
        stream.write('{"step": 5, "lo')
    assert files.truncate_lines(log, lambda line: line["step"] <= 3) == 2
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [0, 1, 2, 3]
    assert files.truncate_lines(log, lambda line: True) == 0
    assert files.truncate_lines(tmp_path / "missing", lambda line: True) == 0


def test_zeros_left_by_a_power_cut_are_dropped_from_a_log(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b'{"step": 1}\n' + bytes(20) + b"\n[1]\n")
    assert files.truncate_lines(log, lambda line: True) == 2
    assert log.read_bytes() == b'{"step": 1}\n'


def test_free_space_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    assert files.free_space(tmp_path / "not" / "yet") > 0


def test_nesting_is_limited_and_plain_values_pass() -> None:
    assert parse(b'{"a": [1, 2.5, "x", null, true]}', where="f", limit=100) == {"a": [1, 2.5, "x", None, True]}
    for depth, fine in ((20, True), (40, False), (5000, False)):
        data = b'{"a": ' + b"[" * depth + b"]" * depth + b"}"
        if fine:
            parse(data, where="f", limit=100_000)
        else:
            with pytest.raises(UserError, match="nested more than"):
                parse(data, where="f", limit=100_000)
