"""`reverie check`: one line for each finding, one JSON object with stable names, and honest exit codes."""

import json

import numpy as np
import pytest
from PIL import Image

from reverie.cli.main import main
from reverie.data.encode import encode_picture


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_picture(rng.integers(0, 256, (8, 8)).astype(np.uint8), "png"))
    (tmp_path / "photos" / "a" / "broken.png").write_bytes(b"<html>no</html>")
    return tmp_path


def test_lines_name_what_is_there_and_what_to_type(photos, capsys):
    assert main(["check", "photos", "--no-forecast"]) == 0
    said = capsys.readouterr().out
    assert "24 of 1×8×8" in said
    assert "25 = 24 used + 1 skipped" in said
    assert "a/broken.png: not a picture but an HTML page" in said
    assert said.splitlines()[-1].split("  ")[-1] == "reverie train photos"
    with Image.open("photos-check.png") as picture:
        assert picture.size[0] >= 8 * 8


def test_json_is_one_object_with_the_same_findings(photos, capsys):
    assert main(["check", "photos", "--json", "--grid", "none", "--size", "4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["found"], found["used"], found["examples"]) == (25, 24, 24)
    assert found["skipped"] == [
        {"file": "a/broken.png", "reason": "not a picture but an HTML page (a failed download?)", "data": True}
    ]
    assert found["labels"] == {"a": 12, "b": 12}
    assert found["spec"]["shape"] == [1, 4, 4]
    assert found["command"] == "reverie train photos --size 4"
    assert found["forecast"]["seconds_per_update"] > 0
    assert not (photos / "photos-check.png").exists()


@pytest.mark.parametrize(("data", "code"), [("phots", 2), ("photos/a/broken.png", 65), ("photos/b/1.png", 65)])
def test_data_that_cannot_be_used_give_a_reason_and_a_code(data, code, photos, capsys):
    assert main(["check", data, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["error"]


def test_what_was_found_is_still_said_where_data_are_refused(photos, capsys):
    for i in range(5):
        (photos / "photos" / "a" / f"x{i}.png").write_bytes(b"")
    assert main(["check", "photos"]) == 65
    said = capsys.readouterr().out
    assert "x4.png: empty file" in said
    assert "more than the 10%" in said
