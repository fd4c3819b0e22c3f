"""The main job: from nothing to a trained model and its pictures; the same samples again, to the bit."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from reverie.cli.main import main
from reverie.training.model import load

SMALL = ["--network", "unet", "--network.width", "32", "--quiet", "--training.batch", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run on the digits."""
    folder = tmp_path_factory.mktemp("main") / "digits"
    assert main(["train", "digits", "--steps", "24", "--out", str(folder), *SMALL, "--sampling.steps", "4"]) == 0
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_leaves_everything_that_was_promised(run: Path) -> None:
    names = set(files_of(run))
    wanted = {
        "run.json",
        "recipe.toml",
        "environment.json",
        "metrics.jsonl",
        "samples.png",
        "denoising.png",
        "loss.png",
    }
    wanted |= {
        "noise_levels.png",
        "model/config.json",
        "model/model.safetensors",
        "model/manifest.json",
        "model/README.md",
    }
    assert wanted <= names
    assert {"checkpoints/step-00000024/manifest.json", "previews/step-00000024.png"} <= names
    for picture in run.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 100
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in entries if "loss" in e] == list(range(1, 25))
    previews = [e for e in entries if "held_out" in e]
    assert [e["step"] for e in previews] == [6, 12, 18, 24]
    assert all(len(e["by_time"]) == 8 and len(e["mean"]) == len(e["spread"]) == 1 for e in previews)


def test_a_run_can_be_repeated_from_its_recipe_to_the_bit(run: Path, tmp_path: Path) -> None:
    recipe = tomllib.loads((run / "recipe.toml").read_text())
    assert recipe["training"]["steps"] == 24
    assert recipe["network"]["width"] == 32
    again = tmp_path / "again"
    assert (
        main(
            ["train", "digits", "--recipe", str(run / "recipe.toml"), "--out", str(again), "--quiet", "--device", "cpu"]
        )
        == 0
    )
    assert (again / "model/model.safetensors").read_bytes() == (run / "model/model.safetensors").read_bytes()
    assert (again / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def test_a_preview_is_drawn_again_to_the_bit(run: Path, tmp_path: Path) -> None:
    """The final preview is samples 0 … 59 of seed 0; an earlier one comes from its checkpoint."""
    final = tmp_path / "final"
    assert main(["sample", str(run), "--count", "60", "--out", str(final), "--device", "cpu"]) == 0
    assert (final / "sheet.png").read_bytes() == (run / "samples.png").read_bytes()
    early = tmp_path / "early"
    checkpoint = run / "checkpoints" / "step-00000018"
    assert main(["sample", str(checkpoint), "--count", "60", "--out", str(early), "--device", "cpu"]) == 0
    assert (early / "sheet.png").read_bytes() == (run / "previews/step-00000018.png").read_bytes()


def test_sample_i_depends_on_seed_and_i_alone(run: Path) -> None:
    model = load(run)
    many = model.draw(40, label="3", seed=7)
    assert torch.equal(model.draw(1, label="3", seed=7), many[:1])
    assert torch.equal(model.draw(5, label="3", seed=7, first=17), many[17:22])
    assert not torch.equal(model.draw(1, label="3", seed=8), many[:1])


def test_samples_come_back_in_the_data_s_own_units(run: Path) -> None:
    model = reverie.load(run)
    x = reverie.sample(model, 3, label="5", steps=2, sampler="ddim")
    assert tuple(x.shape) == (3, 1, 8, 8)
    assert x.dtype == model.spec.scale.decode(torch.zeros(1, 1, 8, 8)).dtype
    assert float(x.min()) >= 0
    assert float(x.max()) <= 16


@pytest.mark.parametrize("label", ["11", "three", "-1"])
def test_a_label_that_does_not_exist_is_told(run: Path, label: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run), f"--label={label}"]) == 2
    error = capsys.readouterr().err
    assert f"unknown label '{label}'" in error
    assert "0, 1, 2" in error
    assert error.count("\n") == 1


def test_nothing_that_exists_is_overwritten(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(run)
    assert main(["train", "digits", "--steps", "2", "--out", str(run)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["sample", str(run), "--out", str(tmp_path)]) == 2
    assert files_of(run) == before


def test_a_finished_run_can_be_made_longer(run: Path, tmp_path: Path) -> None:
    """A run of 24 that is told to do 30 keeps its first 24 losses."""
    import shutil

    longer = tmp_path / "longer"
    shutil.copytree(run, longer)
    assert main(["train", "--resume", str(longer), "--steps", "30", "--quiet"]) == 0
    old, new = ((p / "metrics.jsonl").read_text().splitlines() for p in (run, longer))
    assert new[: len(old)] == old
    assert load(longer).summary["steps"] == 30


def test_info_says_what_a_run_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["data"]["shape"] == [1, 8, 8]
    assert facts["steps"] == 24
    assert facts["finished"]
    assert facts["parameters"] == sum(p.numel() for p in load(run).parameters())
    assert main(["info", str(run)]) == 0
    assert "parameters" in capsys.readouterr().out


def test_the_options_of_another_sampler_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run), "--sampler", "ancestral", "--eta", "1"]) == 2
    assert "the sampler 'ancestral' has no option --eta" in capsys.readouterr().err


def test_a_walk_is_written_as_strip_and_animation(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "walk"
    assert main(["sample", str(run), "--count", "4", "--trajectory", "--out", str(out), "--steps", "5"]) == 0
    with Image.open(out / "trajectory.gif") as moving:
        assert moving.n_frames == 6
    assert (out / "trajectory.png").is_file()


@pytest.mark.parametrize("data", ["swiss-roll", "moons"])
def test_points_are_trained_on_and_come_back_as_points(data: str, tmp_path: Path) -> None:
    folder = tmp_path / data
    assert main(["train", data, "--steps", "12", "--out", str(folder), "--quiet", "--training.previews", "1"]) == 0
    assert main(["sample", str(folder), "--count", "50", "--out", str(tmp_path / "out"), "--steps", "3"]) == 0
    arrays = [p for p in (tmp_path / "out").iterdir() if p.suffix in (".npy", ".npz", ".csv")]
    assert arrays


def test_an_array_of_signals_is_trained_on(tmp_path: Path) -> None:
    time = np.linspace(0, 1, 37)
    waves = np.sin(2 * np.pi * (time + np.random.default_rng(0).uniform(size=(64, 1)))).astype(np.float32)
    np.save(tmp_path / "waves.npy", waves[:, None])
    folder = tmp_path / "run"
    few = ["--steps", "3", "--training.previews", "0", "--sampling.steps", "3", "--training.batch", "16"]
    assert main(["train", str(tmp_path / "waves.npy"), *few, "--out", str(folder), "--quiet"]) == 0
    assert reverie.sample(reverie.load(folder), 2).shape == (2, 1, 37)


def test_samples_are_steered_by_name(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scale 1 of classifier-free guidance is the conditional model itself; what is usual, 1.5, is not."""
    plain, one, usual = (tmp_path / name for name in ("plain", "one", "usual"))
    few = ["sample", str(run), "--count", "4", "--label", "2", "--device", "cpu", "--out"]
    assert main([*few, str(plain)]) == 0
    assert main([*few, str(one), "--guide", "cfg", "--scale", "1"]) == 0
    assert main([*few, str(usual), "--guide", "cfg"]) == 0
    assert (one / "sheet.png").read_bytes() == (plain / "sheet.png").read_bytes()
    assert (usual / "sheet.png").read_bytes() != (plain / "sheet.png").read_bytes()
    assert json.loads((usual / "sample.json").read_text())["scale"] == 1.5
    assert main([*few, str(tmp_path / "none"), "--guide", "cgf"]) == 2
    assert "did you mean 'cfg'?" in capsys.readouterr().err
    assert main([*few, str(tmp_path / "none"), "--scale", "2"]) == 2
    assert "name one with --guide" in capsys.readouterr().err


def test_a_classifier_is_trained_and_steers(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "classifier"
    few = ["--steps", "8", "--labeller.levels", "1", "--labeller.width", "8", "--training.holdout", "0.5"]
    assert main(["train", "digits", "--classifier", *few, "--out", str(folder), "--quiet"]) == 0
    network = json.loads((folder / "config.json").read_text())["config"]["network"]
    assert (network["name"], network["levels"], network["width"]) == ("classifier", 1, 8)
    out = tmp_path / "out"
    guided = ["--guide", f"classifier:{folder}", "--label", "3", "--count", "2", "--out", str(out)]
    assert main(["sample", str(run), *guided, "--device", "cpu"]) == 0
    assert (out / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--classifier", "--network.width", "8"], "--classifier takes no --network; options of its network are"),
        (["--classifier", "--latent", "runs/codes"], "--classifier takes no --latent"),
        (["--classifier", "--training.ema", "0.2"], "batch, holdout, learning_rate, minutes, steps, not 'ema'"),
        (["--classifier", "--labeller.width", "wide"], "labeller.width must be a whole number, not 'wide'"),
        (["--classifier", "--labeller.width", "0"], "width must be at least 1"),
        (["--vae", "--schedule", "cosine"], "--vae takes no --schedule"),
        (["--classifier", "--part", "left"], "--part says what is seen of an example; name the task with --task"),
        (["--task", "denoise"], "--task says what a classifier reads; give --classifier too"),
        (["--classifier", "--task", "inpaint"], "needs either --mask FILE or --part PART"),
        (["--labeller", "classifier"], "the network that --classifier trains; give that too"),
    ],
)
def test_what_goes_beside_models_refuses_the_options_of_models(words, text, tmp_path, capsys) -> None:
    assert main(["train", "digits", *words, "--steps", "2", "--out", str(tmp_path / "run"), "--quiet"]) == 2
    told = capsys.readouterr().err
    assert text in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
