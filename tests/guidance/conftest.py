"""A model folder and a classifier folder that need no training worth the name."""

from pathlib import Path

import pytest
from untrained import write_model

from reverie.data import open_data
from reverie.training.classifier import train_classifier


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
