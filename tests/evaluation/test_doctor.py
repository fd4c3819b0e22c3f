"""The doctor names planted faults and stays silent about healthy runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from patients import copied, edit_both, edit_model, named

from reverie import networks
from reverie.cli.main import main
from reverie.core import files
from reverie.evaluation import diagnose
from reverie.training.assemble import build_denoiser
from reverie.training.model import contents, load
from reverie.training.session import Session


def points() -> np.ndarray:
    """Two clouds of unequal weight and spread in the plane."""
    random = np.random.default_rng(0)
    which = random.random(2000) < 0.7
    return np.where(which[:, None], [[0.0, 3.0]], [[6.0, 0.0]]) + random.normal(size=(2000, 2)) * [1.0, 0.5]


def pictures() -> np.ndarray:
    """Flat colours of red, green and blue that differ in brightness, with some grain: (400, 4, 4, 3) bytes."""
    random = np.random.default_rng(1)
    shade = random.normal(size=(400, 1, 1, 1)) * 20
    return (np.array([190, 120, 50]) + shade + random.normal(size=(400, 4, 4, 3)) * 5).clip(0, 255).astype("uint8")


def trained(folder: Path, rows: np.ndarray, **training: Any) -> Path:
    np.save(folder / "data.npy", rows)
    given = {"steps": 300, "batch": 128, "previews": 1, "checkpoints": 1, **training}
    small = {"name": "mlp", "width": 64, "depth": 2}
    network = small if rows.ndim == 2 else {"name": "unet", "width": 16, "multipliers": [1], "depth": 1}
    Session.begin(str(folder / "data.npy"), {"training": given, "network": network}, path=folder / "run").go()
    return folder / "run"


@pytest.fixture(scope="module")
def of_points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("points"), points())


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("pictures"), pictures(), steps=600)


def test_healthy_runs_raise_no_alarm(of_points: Path, of_pictures: Path) -> None:
    assert named(of_points) == ["healthy"]
    assert named(of_pictures) == ["healthy"]


def test_another_range_of_the_data_is_named(of_pictures: Path, tmp_path: Path) -> None:
    run = copied(of_pictures, tmp_path)
    np.save(tmp_path / "data.npy", pictures() // 4)
    assert named(run) == ["data range"]


def test_a_wrong_spread_told_to_the_network_is_named(of_points: Path, tmp_path: Path) -> None:
    run = copied(of_points, tmp_path)
    edit_both(run, lambda c: c["denoiser"].update(data_std=20.0))
    assert named(run)[0] == "data range"


def test_a_cold_average_is_named(of_points: Path, tmp_path: Path) -> None:
    run, model = copied(of_points, tmp_path), load(of_points)
    cold = build_denoiser(model.config, model.spec)
    networks.initialise(cold, 0)
    files.write_folder(run / "model", contents(cold, model.spec, model.config, {}), replace=True)
    assert named(run) == ["cold average"]


def test_an_average_that_is_not_used_is_no_fault_while_samples_are_good(of_points: Path, tmp_path: Path) -> None:
    run = copied(of_points, tmp_path)
    edit_both(run, lambda c: c["training"].update(ema=0.0))
    assert named(run) == ["healthy"]


def test_an_average_that_is_not_used_is_named_where_samples_are_bad(tmp_path: Path) -> None:
    assert named(trained(tmp_path, points(), steps=15, ema=0.0)) == ["unused average"]


@pytest.mark.parametrize(("section", "name"), [("prediction", "eps"), ("schedule", "cosine")])
def test_a_model_that_says_other_than_the_run_is_named(
    section: str, name: str, of_points: Path, tmp_path: Path
) -> None:
    run = copied(of_points, tmp_path)
    edit_model(run, lambda c: c.update({section: {"name": name}}))
    assert named(run) == [f"{section} mismatch"]


def test_a_prediction_that_no_file_has_right_is_found_by_its_loss(of_points: Path, tmp_path: Path) -> None:
    run = copied(of_points, tmp_path)
    edit_both(run, lambda c: c.update(prediction={"name": "v"}))
    found = diagnose(run)
    assert [f.name for f in found] == ["prediction mismatch"]
    assert found[0].advice == "--prediction f"


@pytest.mark.slow
def test_swapped_channels_are_named_with_their_order(of_pictures: Path, tmp_path: Path) -> None:
    run = copied(of_pictures, tmp_path)
    np.save(tmp_path / "data.npy", pictures()[..., ::-1])
    found = diagnose(run)
    assert found[0].name == "swapped channels"
    assert "(2, 1, 0)" in found[0].figure


def test_rows_of_nan_are_named(of_points: Path, tmp_path: Path) -> None:
    run, rows = copied(of_points, tmp_path), points()
    rows[17] = np.nan
    np.save(tmp_path / "data.npy", rows)
    found = diagnose(run)
    assert [f.name for f in found] == ["NaN rows"]
    assert "17" in found[0].figure


def test_weights_of_nan_are_named(of_points: Path, tmp_path: Path) -> None:
    run, model = copied(of_points, tmp_path), load(of_points)
    next(model.denoiser.parameters()).fill_(torch.nan)
    files.write_folder(run / "model", contents(model.denoiser, model.spec, model.config, {}), replace=True)
    assert named(run) == ["NaN weights"]


def test_constant_data_are_named(of_pictures: Path, tmp_path: Path) -> None:
    run = copied(of_pictures, tmp_path)
    np.save(tmp_path / "data.npy", np.full_like(pictures(), 7))
    assert "constant data" in named(run)


def test_one_example_many_times_is_named(of_pictures: Path, tmp_path: Path) -> None:
    run = copied(of_pictures, tmp_path)
    np.save(tmp_path / "data.npy", np.repeat(pictures()[:1], 400, 0))
    assert "constant data" in named(run)


@pytest.mark.parametrize("rate", [3.0, 1e-7])
def test_a_learning_rate_that_does_not_learn_is_named(rate: float, tmp_path: Path) -> None:
    assert named(trained(tmp_path, points(), steps=200, learning_rate=rate)) == ["learning rate"]


def test_too_few_updates_are_named(tmp_path: Path) -> None:
    assert named(trained(tmp_path, points(), steps=15)) == ["too few updates"]


def test_too_few_sampling_steps_are_named(of_points: Path, tmp_path: Path) -> None:
    run = copied(of_points, tmp_path)
    edit_both(run, lambda c: c["sampling"].update(steps=1))
    found = diagnose(run)
    assert [f.name for f in found] == ["too few sampling steps"]


def test_the_verb_says_what_to_type(of_points: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(of_points)]) == 0
    assert "healthy" in capsys.readouterr().out
    run = copied(of_points, tmp_path)
    edit_both(run, lambda c: c["sampling"].update(steps=1))
    assert main(["doctor", str(run)]) == 1
    assert "--steps 20" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("moons", 600), ("sines", 300), ("digits", 500)])
def test_healthy_runs_of_other_kinds_raise_no_alarm(name: str, steps: int, tmp_path: Path) -> None:
    Session.begin(name, {"training": {"steps": steps}}, path=tmp_path / "run").go()
    assert named(tmp_path / "run") == ["healthy"]
