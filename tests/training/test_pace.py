"""A short run shows its updates fewer examples, so that there are more of them."""

from __future__ import annotations

from typing import Any

import pytest

from reverie.data import open_data
from reverie.training import pace
from reverie.training.defaults import choose
from reverie.training.distributed import World
from reverie.training.pace import LEAST, SMALLEST, in_pace
from reverie.training.recipe import Config
from reverie.training.session import Session

SMALL: Config = {"network": {"width": 8, "multipliers": [1]}}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """An update takes 10 ms an example and 20 ms besides; what has been timed is noted as (batch, parts)."""
    seen: list[tuple[int, int]] = []

    def seconds(config: Config, *rest: Any) -> float:
        batch = config["training"]["batch"]
        seen.append((batch, config["training"].get("accumulate", 1)))
        return 0.02 + 0.01 * batch

    monkeypatch.setattr(pace, "_seconds", seconds)
    return seen


def paced(chosen: Config, world: World | None = None) -> Config:
    data = open_data("digits")
    train = data.split(0.1, 0)[0]
    return in_pace(choose(data.spec, len(train), chosen), chosen, data.spec, data, world=world or World())


@pytest.mark.parametrize(
    ("minutes", "batch"),
    [(60.0, None), (12.0, 64), (6.0, 32), (3.5, 16), (0.1, SMALLEST)],
)
def test_the_batch_is_the_largest_that_leaves_a_thousand_updates(
    timed: list[tuple[int, int]], minutes: float, batch: int | None
) -> None:
    chosen = {"training": {"minutes": minutes}}
    assert paced(chosen)["training"].get("batch") == batch
    if batch is not None and batch > SMALLEST:
        assert 60 * minutes / (0.02 + 0.01 * batch) >= LEAST > 60 * minutes / (0.02 + 0.02 * batch)


@pytest.mark.parametrize("training", [{"minutes": 0.1, "batch": 128}, {"steps": 30}])
def test_what_was_asked_for_stays_and_is_not_timed(timed: list[tuple[int, int]], training: dict[str, Any]) -> None:
    chosen = {"training": training}
    assert paced(chosen) == chosen
    assert not timed


def test_half_the_batch_has_to_save_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_seconds", lambda *_: 1.0)
    chosen = {"training": {"minutes": 1.0}}
    assert paced(chosen) == chosen


def test_every_process_keeps_an_equal_share(timed: list[tuple[int, int]]) -> None:
    assert paced({"training": {"minutes": 0.1}}, World(size=32))["training"]["batch"] == 32


def test_a_short_run_is_told_its_batch_and_repeats_by_its_recipe(tmp_path: Any) -> None:
    """The batch is written down: the recipe of a run does not time anything again."""
    short = {**SMALL, "training": {"minutes": 0.01, "previews": 0, "checkpoints": 0}}
    session = Session.begin("digits", short, path=tmp_path / "run")
    assert session.run.options.batch == session.config["training"]["batch"] < 128
    again = Session.begin("digits", session.config, path=tmp_path / "again")
    assert again.config == session.config
