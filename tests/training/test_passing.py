"""Sheets that are drawn in passing take half the steps, where that costs little."""

from __future__ import annotations

from pathlib import Path

import pytest
from untrained import write_model

from reverie.training.artefacts import passing
from reverie.training.model import load


@pytest.mark.parametrize(
    ("sampler", "steps", "taken"),
    [("deis", 20, 10), ("deis", 11, 5), ("deis", 10, None), ("ancestral", 200, None), ("heun", 50, 25)],
)
def test_half_the_steps_of_a_long_walk_on_which_nothing_is_drawn(
    sampler: str, steps: int, taken: int | None, tmp_path: Path
) -> None:
    model = load(write_model(tmp_path / "digits", "digits"))
    model.config["sampler"], model.config["sampling"] = {"name": sampler}, {"steps": steps}
    assert passing(model) == taken
