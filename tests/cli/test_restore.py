"""`reverie restore`: what it writes for each task, that what was seen is kept, and its one-line refusals."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from untrained import write_model

from reverie.cli import restore as verb
from reverie.cli.main import main
from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.training.classifier import train_classifier
from reverie.training.session import Session


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "digits", "digits")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few updates, whose first checkpoint is another model."""
    network = {"width": 16, "multipliers": [1]}
    chosen = {"network": network, "training": {"steps": 24, "batch": 32, "warmup": 2, "previews": 0, "checkpoints": 2}}
    session = Session.begin("digits", chosen, path=tmp_path_factory.mktemp("runs") / "digits")
    session.go()
    return session.folder.path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A digit as an array of levels 0 … 16."""
    data = open_data("digits")
    path = tmp_path_factory.mktemp("examples") / "digit.npy"
    np.save(path, data.native(data.split()[1][:1])[0].numpy())
    return path


def restore(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers())
    arguments = parser.parse_args(["restore", *map(str, words), "--device", "cpu"])
    return arguments.run(arguments)


TASKS = {
    "inpaint": ["--part", "left"],
    "super-resolution": ["--factor", "2"],
    "deblur": ["--blur", "0.8", "--noise", "0.05"],
    "motion-deblur": ["--blur", "3", "--degrees", "45", "--noise", "0.05"],
    "denoise": ["--noise", "0.3"],
    "sensing": ["--share", "0.4"],
}


@pytest.mark.parametrize("task", TASKS)
def test_a_restoration_leaves_observation_samples_mean_and_spread(task, model, example, tmp_path):
    out = tmp_path / "out"
    words = [model, "--input", example, "--task", task, *TASKS[task], "--degrade", "--samples", "3", "--out", out]
    assert restore(*words) == 0
    names = {path.name for path in out.iterdir()}
    wanted = {"observation.npy", "observation.png", "mean.npy", "mean.png", "std.npy", "std.png", "sheet.png"}
    assert wanted | {"restore.json", "samples"} <= names
    assert ({"mask.png", "mask.npy"} <= names) == (task == "inpaint")
    assert len(list((out / "samples").rglob("*.png"))) == 3
    assert json.loads((out / "restore.json").read_text())["task"] == task
    assert np.load(out / "std.npy").shape == (1, 8, 8)
    assert Image.open(out / "mean.png").size == Image.open(out / "std.png").size == (8, 8)


@pytest.mark.parametrize("task", TASKS)
def test_an_observation_that_was_written_restores_alike(task, model, example, tmp_path):
    """`observation.npy` is in the units that `--input` takes; what was made from a whole example is that file."""
    words = ["--task", task, *TASKS[task], "--samples", "2"]
    assert restore(model, "--input", example, *words, "--degrade", "--out", tmp_path / "a") == 0
    assert restore(model, "--input", tmp_path / "a" / "observation.npy", *words, "--out", tmp_path / "b") == 0
    first, second = (np.load(tmp_path / name / "mean.npy") for name in "ab")
    assert np.allclose(first, second, atol=0.02)


def test_a_picture_that_was_written_is_an_input(model, example, tmp_path):
    words = ["--task", "super-resolution", "--samples", "2"]
    assert restore(model, "--input", example, *words, "--degrade", "--out", tmp_path / "a") == 0
    assert restore(model, "--input", tmp_path / "a" / "observation.png", *words, "--out", tmp_path / "b") == 0
    first, second = (np.load(tmp_path / name / "observation.npy") for name in "ab")
    assert np.allclose(first, second, atol=0.5 * 16 / 255)


@pytest.mark.parametrize(
    "method", ["replacement", "projection", "pi-gdm", "moment-matching", "dps", "repaint", "particles"]
)
def test_every_method_returns_the_seen_pixels_exactly(method, model, example, tmp_path):
    out = tmp_path / "out"
    more = ["--particles", "8", "--repeats", "2", "--method", method, "--samples", "2", "--out", out]
    assert restore(model, "--input", example, "--task", "inpaint", "--part", "left", *more) == 0
    truth, mean, std = np.load(example), np.load(out / "mean.npy"), np.load(out / "std.npy")
    assert np.allclose(mean[..., 4:], truth[..., 4:], atol=1e-4)
    assert np.allclose(std[..., 4:], 0, atol=1e-5)
    # a few particles are soon all of one ancestor
    assert std[..., :4].max() > 0.1 or method in ("dps", "particles")


@pytest.mark.parametrize("method", ["moment-matching", "pi-gdm", "projection", "particles"])
@pytest.mark.parametrize("guide", [["cfg", "--label", "3"], ["smoothness", "--scale", "0.5"], ["auto"]])
def test_a_guidance_changes_what_is_missing_and_keeps_what_was_seen(guide, method, trained, example, tmp_path):
    """The guided model is the prior of the restoration."""
    words = [trained, "--input", example, "--task", "inpaint", "--part", "left", "--samples", "2", "--method", method]
    words += ["--particles", "4", "--steps", "4"]
    label = guide[1:] if guide[0] == "cfg" else []
    assert restore(*words, *label, "--out", tmp_path / "plain") == 0
    assert restore(*words, "--guide", *guide, "--out", tmp_path / "guided") == 0
    truth = np.load(example)
    plain, guided = (np.load(tmp_path / name / "mean.npy") for name in ("plain", "guided"))
    assert np.allclose(guided[..., 4:], truth[..., 4:], atol=1e-4)
    assert not np.allclose(guided[..., :4], plain[..., :4], atol=1e-3)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "plain", "digits", label="none")


@pytest.fixture(scope="module")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "labeller"
    train_classifier(open_data("digits"), folder, network={"width": 8}, steps=6, batch=32)
    return folder


def test_a_classifier_steers_a_restoration_by_a_model_without_labels(unlabelled, labeller, example, tmp_path):
    words = [unlabelled, "--input", example, "--task", "inpaint", "--part", "left", "--samples", "2", "--steps", "4"]
    three = ["--guide", f"classifier:{labeller}", "--label", "3"]
    assert restore(*words, "--out", tmp_path / "plain") == 0
    assert restore(*words, *three, "--out", tmp_path / "three") == 0
    plain, guided = (np.load(tmp_path / name / "mean.npy") for name in ("plain", "three"))
    assert np.allclose(guided[..., 4:], np.load(example)[..., 4:], atol=1e-4)
    assert not np.allclose(guided[..., :4], plain[..., :4], atol=1e-3)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of right halves, by the command line; hardly trained."""
    folder = tmp_path_factory.mktemp("models") / "reader"
    words = ["train", "digits", "--classifier", "--task", "inpaint", "--part", "left", "--steps", "30"]
    assert main([*words, "--out", str(folder), "--quiet"]) == 0
    return folder


def test_every_sample_draws_a_label_read_off_the_observation(model, reader, example, tmp_path, capsys):
    words = [model, "--input", example, "--task", "inpaint", "--part", "left", "--steps", "2", "--samples", "9"]
    assert restore(*words, "--label", f"classifier:{reader}", "--out", tmp_path / "out") == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("label: ")
    assert "%)" in told
    record = json.loads((tmp_path / "out" / "restore.json").read_text())
    assert len(record["sample_labels"]) == 9
    assert set(record["sample_labels"]) <= set("0123456789")
    assert np.allclose(np.load(tmp_path / "out" / "mean.npy")[..., 4:], np.load(example)[..., 4:], atol=1e-4)


def test_a_label_is_read_by_the_classifier_of_such_observations_alone(
    model, unlabelled, labeller, reader, example, tmp_path
):
    given = ["--input", example, "--label", f"classifier:{reader}", "--task"]
    refused = [
        ([model, *given, "inpaint", "--part", "right"], "reads other observations: task inpaint, part left"),
        ([model, *given, "inpaint", "--part", "left", "--noise", "0.1"], "with noise 0.0, not 0.1"),
        ([model, *given, "inpaint", "--part", "left", "--method", "particles"], "samples of one label; name it"),
        ([unlabelled, *given, "inpaint", "--part", "left"], "but the model has no labels"),
        ([model, "--input", example, "--task", "inpaint", "--part", "left", "--label", f"classifier:{labeller}"],
         "reads noisy data; one of observations is trained with --task"),
        ([model, "--input", example, "--task", "denoise", "--guide", f"classifier:{reader}", "--label", "3"],
         f"use it as --label classifier:{reader}"),
    ]  # fmt: skip
    for words, text in refused:
        with pytest.raises(UserError) as caught:
            restore(*words, "--out", tmp_path / "out")
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_a_product_is_a_prior_of_restorations(trained, example, tmp_path):
    words = [trained, "--input", example, "--task", "inpaint", "--part", "left", "--samples", "2", "--steps", "4"]
    assert restore(*words, "--guide", "product:3=1,5=0.5", "--out", tmp_path / "out") == 0
    assert np.isfinite(np.load(tmp_path / "out" / "mean.npy")).all()


def test_the_record_is_strict_and_says_how_strong_the_guidance_was(trained, example, tmp_path):
    def strict(path: Path) -> dict:
        return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    words = [trained, "--input", example, "--task", "inpaint", "--part", "left", "--samples", "1", "--steps", "2"]
    assert restore(*words, "--out", tmp_path / "plain") == 0
    assert not {"guide", "scale"} & strict(tmp_path / "plain" / "restore.json").keys()
    assert restore(*words, "--guide", "auto", "--guide.high", "3", "--out", tmp_path / "auto") == 0
    record = strict(tmp_path / "auto" / "restore.json")
    assert (record["guide"], record["scale"], record["guide.high"]) == ("auto", 2.0, 3.0)


def test_a_mask_may_be_a_picture_and_white_is_what_is_missing(model, example, tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 1:4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    shown = np.load(example)[0].astype(float) * 255 / 16
    Image.fromarray(shown.round().astype(np.uint8)).save(tmp_path / "digit.png")
    out = tmp_path / "out"
    words = ["--input", tmp_path / "digit.png", "--task", "inpaint", "--mask", tmp_path / "mask.png", "--out", out]
    assert restore(model, *words, "--samples", "2") == 0
    truth, std = np.load(example)[0], np.load(out / "std.npy")[0]
    assert (std[mask > 0] > 1e-3).all()
    assert np.allclose(std[mask == 0], 0, atol=1e-5)
    assert np.allclose(np.load(out / "mean.npy")[0][mask == 0], truth[mask == 0], atol=0.05)


def refusals(model: Path, example: Path, folder: Path) -> list[tuple[list[str | Path], str]]:
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(folder / "wrong.png")
    np.save(folder / "wrong.npy", np.zeros((3, 8, 8)))
    (folder / "text.png").write_text("nothing")
    given = [model, "--input", example]
    return [
        ([*given, "--task", "inpaint"], "needs either --mask FILE or --part PART"),
        ([*given, "--task", "inpaint", "--mask", folder / "wrong.png"], "is 5×7, but the model's examples are 8×8"),
        ([*given, "--task", "inpaint", "--part", "inner"], "left, right, top or bottom, not 'inner'"),
        ([*given, "--task", "inpaint", "--part", "1,2,3"], "a box is top,left,height,width"),
        ([*given, "--task", "colourise"], "at least 2 channels"),
        ([*given, "--task", "superresolution"], "did you mean 'super-resolution'"),
        ([*given, "--task", "super-resolution", "--factor", "3"], "blocks of 3 do not divide"),
        ([*given, "--task", "super-resolution"], "but (1, 4, 4) is needed; to make the observation"),
        ([*given, "--task", "sensing"], "but (32,) is needed; to make the observation"),
        ([*given, "--task", "inpaint", "--part", "random", "--share", "7"], "between 0 and 1, not 7.0"),
        ([*given, "--task", "denoise", "--noise", "-1"], "--noise must be 0 or above"),
        ([*given, "--task", "denoise", "--method", "dsp"], "did you mean 'dps'"),
        ([*given, "--task", "denoise", "--samples", "0"], "--samples must be at least 1"),
        ([*given, "--task", "denoise", "--label", "eleven"], "unknown label 'eleven'"),
        ([*given, "--task", "denoise", "--guide", "cfg"], "steers towards a label; name it with --label"),
        ([*given, "--task", "denoise", "--scale", "2"], "name one with --guide"),
        ([*given, "--task", "denoise", "--guide", "autos"], "did you mean 'auto'"),
        ([*given, "--task", "denoise", "--guide.high", "2"], "--guide.high is an option of a guidance"),
        ([*given, "--task", "denoise", "--label", "each"], "name its label, or leave it out"),
        ([*given, "--task", "denoise", "--guide", "smoothness", "--label", "eleven"], "unknown label 'eleven'"),
        ([model, "--input", folder / "wrong.npy", "--task", "denoise"], "has the shape (3, 8, 8)"),
        ([model, "--input", folder / "text.png", "--task", "denoise"], "not a picture"),
    ]


@pytest.mark.parametrize("number", range(22))
def test_a_mistake_is_one_clear_line(number, model, example, tmp_path):
    words, text = refusals(model, example, tmp_path)[number]
    with pytest.raises(UserError) as caught:
        restore(*words, "--out", tmp_path / "out")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
