"""A short run shows its updates fewer examples, so that there are more of them."""

from __future__ import annotations

from typing import Any

import pytest

from reverie.cli.check import forecast
from reverie.data import open_data
from reverie.training import pace
from reverie.training.defaults import choose
from reverie.training.distributed import World
from reverie.training.pace import LEAST, SMALLEST, in_pace
from reverie.training.recipe import Config
from reverie.training.session import Session

SMALL: Config = {"network": {"width": 8, "multipliers": [1]}}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An update takes 10 ms an example and 20 ms besides; the batches that have been timed are noted."""
    seen: list[int] = []

    def seconds(config: Config, spec: Any, x0: Any, world: World) -> float:
        seen.append(len(x0))
        return 0.02 + 0.01 * len(x0)

    monkeypatch.setattr(pace, "_seconds", seconds)
    return seen


def paced(chosen: Config, world: World | None = None) -> Config:
    data = open_data("digits")
    train = data.split(0.1, 0)[0]
    return in_pace(choose(data.spec, len(train), chosen), chosen, data.spec, data, world=world or World())


@pytest.mark.parametrize(
    ("minutes", "batch", "looks"),
    [
        (240.0, None, [16]),
        (48.0, 64, [16, 32, 64, 128]),
        (24.0, 32, [16, 32, 64]),
        (14.0, 16, [16, 32]),
        (0.1, SMALLEST, [16, 32]),
    ],
)
def test_the_batch_is_the_largest_that_leaves_four_thousand_updates(
    timed: list[int], minutes: float, batch: int | None, looks: list[int]
) -> None:
    chosen = {"training": {"minutes": minutes}}
    assert paced(chosen)["training"].get("batch") == batch
    assert timed == looks
    if batch is not None and batch > SMALLEST:
        assert 60 * minutes / (0.02 + 0.01 * batch) >= LEAST > 60 * minutes / (0.02 + 0.02 * batch)


@pytest.mark.parametrize(
    "training", [{"minutes": 0.1, "batch": 128}, {"minutes": 0.1, "accumulate": 32}, {"steps": 30}]
)
def test_what_was_asked_for_stays_and_is_not_timed(timed: list[int], training: dict[str, Any]) -> None:
    chosen = {"training": training}
    assert paced(chosen) == chosen
    assert not timed


def test_steps_that_fit_into_the_time_keep_their_batch(timed: list[int]) -> None:
    """1.3 seconds an update: a hundred of them fit into five minutes, a thousand do not."""
    assert "batch" not in paced({"training": {"minutes": 5.0, "steps": 100}})["training"]
    assert paced({"training": {"minutes": 5.0, "steps": 1000}})["training"]["batch"] < 128


def test_half_the_batch_has_to_save_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_seconds", lambda *_: 1.0)
    chosen = {"training": {"minutes": 1.0}}
    assert paced(chosen) == chosen


def test_every_process_keeps_an_equal_share(timed: list[int]) -> None:
    assert paced({"training": {"minutes": 0.1}}, World(size=32))["training"]["batch"] == 32


def test_a_short_run_is_told_its_batch_and_repeats_by_its_recipe(timed: list[int], tmp_path: Any) -> None:
    """The batch is written down: the recipe of a run does not time anything again."""
    short = {**SMALL, "training": {"minutes": 0.01, "previews": 0, "checkpoints": 0}}
    session = Session.begin("digits", short, path=tmp_path / "run")
    assert session.run.options.batch == session.config["training"]["batch"] == SMALLEST
    timed.clear()
    again = Session.begin("digits", session.config, path=tmp_path / "again")
    assert again.config == session.config
    assert not timed


def test_a_limit_of_memory_leaves_the_updates_as_they_are(timed: list[int], tmp_path: Any) -> None:
    short = {**SMALL, "training": {"minutes": 0.01, "previews": 0, "checkpoints": 0}}
    session = Session.begin("digits", short, path=tmp_path / "run", memory=10**10)
    assert session.run.options.batch == 128
    assert not timed


def test_a_forecast_is_of_the_batch_that_a_run_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_seconds", lambda config, spec, x0, world: 0.01 * len(x0))
    assert forecast(open_data("digits"))["batch"] == 16  # three minutes leave four thousand updates of at most 45 ms


def test_a_pass_is_really_timed() -> None:
    chosen = {**SMALL, "training": {"minutes": 0.001}}
    data = open_data("digits")
    config = choose(data.spec, 1600, chosen)
    seconds = pace._seconds(config, data.spec, data.rows(data.split()[0][:16]), World())
    assert 0 < seconds < 60
