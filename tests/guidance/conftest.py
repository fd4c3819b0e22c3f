"""A model folder and a classifier folder that need no training worth the name."""

from pathlib import Path

import pytest
from untrained import UNET, write_model

from reverie.data import open_data
from reverie.training.classifier import train_classifier
from reverie.training.session import Session


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "digits", "digits")


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "roll", "swiss-roll")


@pytest.fixture(scope="session")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "labeller"
    train_classifier(open_data("digits"), folder, network={"width": 8}, steps=6, batch=32)
    return folder


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of eight updates with its checkpoints, the first at two."""
    chosen = {"network": UNET, "training": {"steps": 8, "batch": 4, "previews": 0}, "sampling": {"steps": 2}}
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert Session.begin("digits", chosen, path=folder).go() == 0
    return folder
