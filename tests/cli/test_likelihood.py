"""`reverie likelihood` on a model of a few updates: four methods, tables and pictures, and errors of one line."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch

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
    asked = [
        "--count",
        "2",
        "--terms",
        "4",
        "--particles",
        "2",
        "--schedule",
        "learned",
        "--out",
        str(tmp_path / "out"),
    ]
    written = ["--out", str(tmp_path / "out"), "--per-example", str(table)]
    code = main(["likelihood", str(run), "--method", "elbo,vlb,importance", *asked, *written])
    assert code == 0
    said = capsys.readouterr().out
    assert "learned schedule: log SNR " in said
    assert said.count("bits/dim  (") == 6
    found = json.loads((tmp_path / "out" / "likelihood.json").read_text())["methods"]
    assert set(found) == {"elbo", "vlb", "importance"}
    assert found["elbo"]["parts"]["held-out"]["examples"] == 2
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 12
    assert abs(float(rows[0]["nats"]) - sum(float(rows[0][n]) for n in ("prior", "reconstruction", "denoising"))) < 1e-6
    for name in ("terms-elbo.png", "rate-distortion.png", "entropy.png", "most-likely.png", "least-likely.png"):
        assert (tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG"
    curves = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert set(curves) == {"terms-elbo", "terms-vlb", "rate-distortion", "entropy"}
    rate, distortion = curves["rate-distortion"]["series"]["progressive decoding"]
    assert len(rate) == len(distortion) == len(curves["rate-distortion"]["beside"]["t"])
    (_, high), (_, low), (_, own) = curves["entropy"]["series"].values()
    assert all(a <= b + 1e-6 <= c + 2e-6 for a, b, c in zip(low, own, high, strict=True))


def test_the_same_examples_and_seed_give_the_same_number(run: Path, tmp_path: Path) -> None:
    costs = []
    for k, count in enumerate(("3", "3")):
        table = tmp_path / f"{k}.csv"
        asked = ["--count", count, "--terms", "4", "--per-example", str(table), "--out", str(tmp_path / str(k))]
        assert main(["likelihood", str(run), *asked]) == 0
        costs.append(table.read_text())
    assert costs[0] == costs[1]


def test_a_budget_is_kept_by_the_clock_and_says_how_to_get_its_numbers_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["likelihood", str(run), "--budget", "2", "--out", str(tmp_path / "one")]) == 0
    (again,) = re.findall("the same numbers again: (.*)", capsys.readouterr().out)
    assert main(["likelihood", str(run), *again.split(), "--out", str(tmp_path / "two")]) == 0
    one, two = (json.loads((tmp_path / name / "likelihood.json").read_text()) for name in ("one", "two"))
    first, second = (found["methods"]["elbo"]["parts"]["held-out"] for found in (one, two))
    assert 4 <= first["examples"] == second["examples"]
    assert first["bits_per_dim"] == pytest.approx(second["bits_per_dim"], abs=1e-4)


def test_more_time_buys_more_examples_before_more_for_each(run: Path) -> None:
    from reverie.training import budget
    from reverie.training.model import load

    model, free = load(run), dict.fromkeys(("count", "terms", "probes", "particles"))
    plans = [budget.plan(model, "elbo", seconds, 1000, 1800.0, free) for seconds in (1.0, 5.0, 10.0, 100.0)]
    assert [p.expected for p in plans] == [100, 500, 1000, 1000]
    assert [p.effort.terms for p in plans] == [16, 16, 16, 160]
    assert all(p.seconds == pytest.approx(s, rel=0.1) for p, s in zip(plans, (1.0, 5.0, 10.0, 100.0), strict=True))
    paths = [budget.plan(model, "importance", seconds, 1000, 1800.0, free) for seconds in (10.0, 100.0)]
    assert paths[0].effort.particles == 4
    assert (paths[1].expected, paths[1].effort.particles) == (200, 9)


def test_the_clock_stops_between_chunks_and_gives_at_least_one(run: Path) -> None:
    from reverie.data import open_data
    from reverie.training import scoring
    from reverie.training.model import load

    model, data = load(run), open_data("digits")
    likelihood = scoring.likelihood_for(model, "elbo", scoring.Effort(1, terms=4))
    index = scoring.choose(torch.arange(100), 50, seed=0)
    part = scoring.score(model, data, index, likelihood, name="some", seconds=1e-6, chunk=8)
    whole = scoring.score(model, data, index, likelihood, name="all", chunk=8)
    assert part.index.tolist() == index[:8].tolist()
    assert len(whole.index) == 50
    assert torch.allclose(part.bound.total, whole.bound.total[:8])


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--method", "elb"], "unknown method 'elb'; did you mean 'elbo'?"),
        (["--terms", "1"], "--terms must be at least 2, not 1"),
        (["--budget", "0"], "--budget must be seconds above 0"),
        (["--v", "2"], "--v must be between 0"),
        (["--per-example", "a.txt"], "must name a .csv file"),
        (["--per-example", "nowhere/a.csv"], "--per-example: there is no folder 'nowhere'"),
        (["--data", "moons"], "shape"),
        (["--probes", "4"], "--probes is for method ode, not elbo"),
        (["--schedule", "learned"], "--schedule is for method vlb, not elbo"),
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
