"""The command line: fast help without torch, names that are listed, and errors of one line that say what to type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reverie.cli.main
from reverie.cli.main import VERBS, main

CLI = Path(reverie.cli.main.__file__).parent


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what was said on stderr."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().err


def test_no_help_imports_torch() -> None:
    script = "import sys; from reverie.cli.main import parser; parser(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("verb", [v for v in VERBS if (CLI / f"{v}.py").exists()])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert verb in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
        (["train", "digits", "--stpes", "3"], "unrecognised option '--stpes'; did you mean --steps?"),
        (["train"], "name the data"),
        (["train", "didgits"], "unknown data set 'didgits'; did you mean 'digits'?"),
        (["train", "digits", "--schedule", "cosin"], "unknown schedule 'cosin'; did you mean 'cosine'?"),
        (["train", "digits", "--schedule", "cosine", "--schedule.clop", "1"], "did you mean --schedule.clip?"),
        (
            ["train", "digits", "--schedule", "cosine", "--schedule.beta", "1"],
            "unknown option of schedule 'cosine': 'beta'",
        ),
        (["train", "digits", "--steps", "0"], "steps must be above 0, not 0"),
        (["train", "swiss-roll", "--balance"], "the data have no labels"),
        (["train", "digits", "--steps", "many"], "training.steps must be a whole number or none, not 'many'"),
        (["train", "digits", "--recipe", "ddmp"], "unknown recipe 'ddmp'; did you mean 'ddpm'?"),
        (["train", "digits", "--training.batch", "1.5"], "training.batch must be a whole number, not '1.5'"),
        (["train", "digits", "--network", "unet", "--network.width", "-4"], "width"),
        (["train", "digits", "--device", "abacus"], "the device 'abacus' cannot be used here"),
        (["train", "--resume", "nowhere"], "'nowhere' is not a run folder"),
        (["train", "--resume", "nowhere", "--schedule", "cosine"], "leave out --schedule"),
        (["sample", "nowhere"], "'nowhere' is neither a run folder nor a model folder nor a checkpoint"),
        (["sample", "nowhere", "--count", "0"], "--count must be at least 1, not 0"),
        (["info", "nowhere"], "'nowhere' is neither"),
        (["list", "smaplers"], "did you mean 'sampler'?"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    arguments: list[str],
    wanted: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, error = said(arguments, capsys)
    assert code == 2
    assert wanted in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir()), "nothing may be written before the mistake is told"


@pytest.mark.parametrize(
    ("array", "wanted"),
    [(np.full((20, 4), np.nan), "nan"), (np.zeros((0, 4)), "no examples"), (np.array(["a", "b"]), "dtype")],
)
def test_data_that_cannot_be_learnt_from_are_named(
    array: np.ndarray, wanted: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "mine.npy", array)
    code, error = said(["train", "mine.npy", "--steps", "2"], capsys)
    assert code in (2, 65)
    assert "mine.npy" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_empty_folder_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, error = said(["train", str(tmp_path / "empty")], capsys)
    assert code in (2, 65)
    assert "empty" in error
    assert error.count("\n") == 1


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "schedule"]) == 0
    listed = capsys.readouterr().out
    assert "vp-linear" in listed
    assert "--schedule.beta_min: float (default 0.1)" in listed
    assert main(["list", "recipe"]) == 0
    assert "ddpm" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("reverie ")
