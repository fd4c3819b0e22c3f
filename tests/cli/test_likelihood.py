"""`reverie likelihood` on a model of a few updates: four methods, tables and pictures, and errors of one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from reverie.cli.main import main

TINY = ["--network", "unet", "--network.width", "8", "--training.previews", "0", "--sampling.steps", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    recipe = ["--recipe", "improved-ddpm", "--sampler", "ddim", "--quiet"]
    assert (
        main(["train", "digits", "--steps", "3", "--training.batch", "16", "--out", str(folder), *recipe, *TINY]) == 0
    )
    return folder


def test_four_methods_stand_side_by_side(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "scores.csv"
    asked = ["--count", "2", "--terms", "4", "--probes", "2", "--particles", "2", "--out", str(tmp_path / "out")]
    code = main(["likelihood", str(run), "--method", "elbo,vlb,importance", *asked, "--per-example", str(table)])
    assert code == 0
    said = capsys.readouterr().out
    assert said.count("bits/dim  (") == 6
    found = json.loads((tmp_path / "out" / "likelihood.json").read_text())["methods"]
    assert set(found) == {"elbo", "vlb", "importance"}
    assert found["elbo"]["parts"]["held-out"]["examples"] == 2
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 12
    assert abs(float(rows[0]["nats"]) - sum(float(rows[0][n]) for n in ("prior", "reconstruction", "denoising"))) < 1e-6
    for name in ("terms-elbo.png", "rate-distortion.png", "entropy.png", "most-likely.png", "least-likely.png"):
        assert (tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG"


def test_the_same_examples_and_seed_give_the_same_number(run: Path, tmp_path: Path) -> None:
    costs = []
    for k, count in enumerate(("3", "3")):
        table = tmp_path / f"{k}.csv"
        asked = ["--count", count, "--terms", "4", "--per-example", str(table), "--out", str(tmp_path / str(k))]
        assert main(["likelihood", str(run), *asked]) == 0
        costs.append(table.read_text())
    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--method", "elb"], "unknown method 'elb'; did you mean 'elbo'?"),
        (["--terms", "1"], "--terms must be at least 2, not 1"),
        (["--budget", "0"], "--budget must be seconds above 0"),
        (["--v", "2"], "--v must be between 0"),
        (["--per-example", "a.txt"], "must name a .csv file"),
        (["--data", "moons"], "shape"),
    ],
)
def test_a_wrong_word_is_one_clear_line(
    run: Path, arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["likelihood", str(run), *arguments])
    said = capsys.readouterr().err
    assert code in (2, 65)
    assert wanted in said
    assert len(said.strip().splitlines()) == 1
