"""The eight faults planted otherwise, in other data, networks and schedules than the thresholds were set on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from patients import copied, edit_both, edit_model, named

from reverie import networks
from reverie.core import files
from reverie.core.rng import Rng
from reverie.data.builtin import draw
from reverie.evaluation import diagnose
from reverie.training.assemble import build_denoiser
from reverie.training.model import contents, load
from reverie.training.session import Session

pytestmark = pytest.mark.slow


def board() -> np.ndarray:
    """Points on a checkerboard, as floats."""
    return draw("checkerboard", 4000, seed=5).numpy()


def photos() -> np.ndarray:
    """Smooth pictures (600, 8, 8, 3) whose three channels hardly differ in mean and spread, as those of photographs."""
    coarse = Rng(3).normal(torch.empty(600, 3, 2, 2))
    shared = torch.nn.functional.interpolate(0.8 * coarse[:, :1] + 0.4 * coarse, size=8, mode="bilinear")
    level = torch.tensor([118.0, 114.0, 105.0]) + shared.permute(0, 2, 3, 1) * torch.tensor([60.0, 58.0, 62.0])
    return level.clamp(0, 255).numpy().astype("uint8")


def trained(folder: Path, rows: np.ndarray, *, sections: dict[str, Any] | None = None, **training: Any) -> Path:
    np.save(folder / "data.npy", rows)
    given = {"batch": 256, "previews": 1, "checkpoints": 1, **training}
    source = str(folder / "data.npy")
    Session.begin(source, {"seed": 5, "training": given, **(sections or {})}, path=folder / "run").go()
    return folder / "run"


@pytest.fixture(scope="module")
def of_board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cosine schedule, v predicted."""
    sections = {
        "schedule": {"name": "vp-cosine"},
        "prediction": {"name": "v"},
        "network": {"name": "mlp", "width": 128, "depth": 3},
    }
    return trained(tmp_path_factory.mktemp("board"), board(), sections=sections, steps=600)


@pytest.fixture(scope="module")
def of_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = {"name": "unet", "width": 16, "multipliers": [1], "depth": 1}
    return trained(tmp_path_factory.mktemp("photos"), photos(), sections={"network": network}, steps=400, batch=64)


def test_other_healthy_runs_raise_no_alarm(of_board: Path, of_photos: Path) -> None:
    assert named(of_board) == ["healthy"]
    assert named(of_photos) == ["healthy"]


def test_floats_that_became_bytes_are_another_range(of_board: Path, tmp_path: Path) -> None:
    run = copied(of_board, tmp_path)
    np.save(tmp_path / "data.npy", board() * 127.5 + 127.5)
    assert named(run) == ["data range"]


def test_bytes_that_were_meant_as_shares_of_white_fill_a_corner_of_their_range(tmp_path: Path) -> None:
    """Values 100 … 107 in files of bytes. (From 0 on they would be read as levels, which mends them.)"""
    network = {"name": "unet", "width": 16, "multipliers": [1], "depth": 1}
    run = trained(tmp_path, photos() // 32 + 100, sections={"network": network}, steps=20, batch=32)
    assert named(run) == ["data range"]


def test_an_average_that_still_holds_its_beginning_is_cold(of_board: Path, tmp_path: Path) -> None:
    run, model = copied(of_board, tmp_path), load(of_board)
    start = build_denoiser(model.config, model.spec)
    networks.initialise(start, 5)
    for own, first in zip(model.denoiser.parameters(), start.parameters(), strict=True):
        own.data.lerp_(first.data, 0.5)
    files.write_folder(run / "model", contents(model.denoiser, model.spec, model.config, {}), replace=True)
    assert named(run) == ["cold average"]


def test_an_unused_average_is_named_where_the_last_update_is_noisy(tmp_path: Path) -> None:
    assert named(trained(tmp_path, board(), steps=8, ema=0.0, decay=0.0)) == ["unused average"]


@pytest.mark.parametrize(("section", "name"), [("prediction", "velocity"), ("schedule", "flow")])
def test_files_that_all_say_other_than_was_trained_are_found_out(
    section: str, name: str, of_board: Path, tmp_path: Path
) -> None:
    run = copied(of_board, tmp_path)
    edit_both(run, lambda c: c.update({section: {"name": name}}))
    found = diagnose(run)
    assert [f.name for f in found] == [f"{section} mismatch"]
    assert found[0].advice in ("--prediction v", "--schedule vp-cosine")


def test_a_model_that_says_other_than_its_run_is_named(of_photos: Path, tmp_path: Path) -> None:
    run = copied(of_photos, tmp_path)
    edit_model(run, lambda c: c.update(prediction={"name": "x0"}))
    assert named(run) == ["prediction mismatch"]


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_channels_of_like_means_are_known_by_their_small_differences(
    order: tuple[int, ...], of_photos: Path, tmp_path: Path
) -> None:
    run = copied(of_photos, tmp_path)
    np.save(tmp_path / "data.npy", photos()[..., list(order)])
    assert named(run)[0] == "swapped channels"


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_one_value_that_is_no_number_is_named_with_its_row(bad: float, of_board: Path, tmp_path: Path) -> None:
    run, rows = copied(of_board, tmp_path), board()
    rows[1234, 1] = bad
    np.save(tmp_path / "data.npy", rows)
    found = diagnose(run)
    assert [f.name for f in found] == ["NaN rows"]
    assert "1234" in found[0].figure


@pytest.mark.parametrize("rate", [0.5, 3e-6])
def test_a_learning_rate_far_off_is_named_for_pictures(rate: float, tmp_path: Path) -> None:
    network = {"name": "unet", "width": 16, "multipliers": [1], "depth": 1}
    run = trained(tmp_path, photos(), sections={"network": network}, steps=150, batch=64, learning_rate=rate)
    assert named(run) == ["learning rate"]


def test_pictures_that_are_all_one_are_constant(of_photos: Path, tmp_path: Path) -> None:
    run = copied(of_photos, tmp_path)
    np.save(tmp_path / "data.npy", np.broadcast_to(photos()[7], photos().shape).copy())
    assert "constant data" in named(run)


@pytest.mark.parametrize("steps", [1, 2])
def test_too_few_sampling_steps_in_the_model_alone_are_named(steps: int, of_board: Path, tmp_path: Path) -> None:
    run = copied(of_board, tmp_path)
    edit_model(run, lambda c: c["sampling"].update(steps=steps))
    assert named(run) == ["too few sampling steps"]


def test_a_run_that_ended_early_is_named(tmp_path: Path) -> None:
    assert named(trained(tmp_path, board(), steps=12)) == ["too few updates"]
