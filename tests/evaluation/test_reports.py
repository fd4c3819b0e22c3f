"""`evaluate` and `compare` from the command line, on small runs made here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.cli.main import main
from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.evaluation import evaluate
from reverie.evaluation.measures import MEANING
from reverie.evaluation.verdict import HEADLINES
from reverie.training.session import Session

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MLP = {"name": "mlp", "width": 64, "depth": 2}


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "moons"
    training = {"steps": 400, "batch": 128, "previews": 2, "checkpoints": 1}
    Session.begin("moons", {"training": training, "network": MLP}, path=run).go()
    return run


def test_a_report_is_one_file_with_every_number_and_the_second_is_the_first(
    moons: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(moons), "--count", "300", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    file = next(moons.glob("evaluation/*/report.html"))
    page, written = file.read_text(), file.stat().st_mtime_ns
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    for text in [*(MEANING[name][0] for name in numbers["measures"]), HEADLINES[numbers["findings"][0]["name"]]]:
        assert text in page
    assert [c["name"] for c in numbers["columns"]["table"]] == ["1", "2"]
    assert numbers["columns"]["correlation_floor"] < 0.1
    assert numbers["measures"]["energy"]["baseline"] > numbers["measures"]["energy"]["floor"]
    assert numbers["bits_per_dim"]["examples"] == 200
    assert main(["evaluate", str(moons), "--count", "300"]) == 0
    said = capsys.readouterr()
    assert "Gaussian fit" in said.out
    assert "drawing" not in said.err
    assert file.stat().st_mtime_ns == written


def test_the_same_arguments_give_the_same_numbers(moons: Path) -> None:
    one, two = (evaluate(moons, count=60).numbers for _ in range(2))
    for numbers in (one, two):
        numbers.pop("seconds_per_sample")
        numbers.pop("peak_bytes")
    assert one == two


def test_comparison_recommends_and_draws(moons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", str(moons), "--samplers", "ddim,deis", "--steps", "1,10", "--count", "200", "--scales", "1,3"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert re.search(r"best quality: reverie sample \S+ --sampler \w+ --steps 10\n", said)
    assert "fastest within 5 % of the best" in said
    assert (moons / "compare.png").is_file()
    assert main([*asked[:2], "--samplers", "dim"]) == 2
    assert main([*asked[:2], "--steps", "0"]) == 2


def test_a_run_with_too_little_held_out_is_refused_with_the_option_that_helps(moons: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(100, 3)))
    training = {"steps": 2, "batch": 8, "previews": 0, "checkpoints": 0}
    Session.begin(str(tmp_path / "few.npy"), {"training": training, "network": MLP}, path=tmp_path / "run").go()
    with pytest.raises(UserError, match="larger --training"):
        evaluate(tmp_path / "run")


def test_a_run_of_two_examples_many_times_is_refused_without_naming_an_option(tmp_path: Path) -> None:
    np.save(tmp_path / "same.npy", np.tile(np.arange(6.0).reshape(2, 3), (100, 1)))
    training = {"steps": 2, "batch": 8, "previews": 0, "checkpoints": 0}
    Session.begin(str(tmp_path / "same.npy"), {"training": training, "network": MLP}, path=tmp_path / "run").go()
    with pytest.raises(UserError, match=r"^[^\n]* only 2 of its 200 examples differ[^\n]*$"):
        evaluate(tmp_path / "run")


ONCE = {"previews": 1, "checkpoints": 0, "holdout": 1 / 3}
BY_HEART: dict[str, dict[str, Any]] = {
    "digits": {
        "training": {"steps": 2500, "batch": 64, **ONCE},
        "network": {"name": "mlp", "width": 256, "depth": 3},
    },
    "mnist": {
        "training": {"steps": 4000, "batch": 32, **ONCE},
        "network": {"name": "unet", "width": 128, "multipliers": [1, 2], "depth": 1, "patch": 4, "attention": [-1]},
    },
}  # recipes that learn 100 pictures by heart, the larger ones in five minutes on one core


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "count", "memorises"),
    [("digits", 150, True), ("digits", 1797, False), ("mnist", 150, True), ("mnist", 60_000, False)],
)
def test_a_model_of_100_pictures_is_called_memorising_and_of_all_it_is_not(
    source: str, count: int, memorises: bool, tmp_path: Path
) -> None:
    """The same recipe on 100 training pictures (and 50 held out) and on all."""
    if source == "mnist" and not (SHARED / source).is_dir():
        pytest.skip(f"{SHARED / source} is not there")
    data = open_data(source if source == "digits" else str(SHARED / source))
    np.save(tmp_path / "some.npy", data.native(torch.arange(count)).numpy()[:, 0] * (15 if source == "digits" else 1))
    Session.begin(str(tmp_path / "some.npy"), BY_HEART[source], path=tmp_path / "run").go()
    names = [finding.name for finding in evaluate(tmp_path / "run", count=600).findings]
    assert ("memorising" in names) == memorises
