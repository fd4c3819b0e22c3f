"""The options that steer `reverie sample`, and `reverie train --classifier`."""

import argparse
import sys
from pathlib import Path

import pytest

from reverie.cli import labeller, steering
from reverie.core.errors import UserError
from reverie.training.classifier import load_classifier
from reverie.training.model import load

sys.path.insert(0, str(Path(__file__).parents[1] / "guidance"))
from conftest import write_model  # noqa: E402


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--label")
    steering.add(parser)
    return parser.parse_args(words)


def test_options_become_a_steering(tmp_path):
    model = load(write_model(tmp_path / "digits", "digits"))
    assert steering.chosen(parsed("--label", "3"), model).wrap is None
    words = ["--guide", "cfg", "--scale", "2.5", "--guide-low", "0.1", "--guide-high", "3", "--rescale", "0.7"]
    guided = steering.chosen(parsed(*words, "--negative", "5"), model).wrap(model)
    assert (guided.scale, guided.low, guided.high, guided.rescale) == (2.5, 0.1, 3.0, 0.7)
    assert guided.base.denoiser.condition.label.tolist() == [5]
    with pytest.raises(UserError, match="name one with --guide"):
        steering.chosen(parsed("--scale", "2"), model)


def test_a_classifier_is_trained_by_the_verb_train(tmp_path, capsys):
    given = {"data": "digits", "steps": "2", "minutes": None, "resume": None, "seed": None, "quiet": False}
    arguments = argparse.Namespace(**given, out=str(tmp_path / "labels"))
    assert labeller.run(arguments) == 0
    assert load_classifier(tmp_path / "labels").config["steps"] == 2
    assert "held-out accuracy" in "".join(capsys.readouterr())
    with pytest.raises(UserError, match="already exists"):
        labeller.run(arguments)
    arguments.minutes = "1"
    with pytest.raises(UserError, match="--steps N"):
        labeller.run(arguments)
