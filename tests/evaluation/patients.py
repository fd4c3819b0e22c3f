"""Runs made ill: copies whose files are changed by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reverie.core import files
from reverie.evaluation import diagnose


def copied(run: Path, to: Path) -> Path:
    """The run and its data elsewhere."""
    shutil.copytree(run, to / "run")
    shutil.copy(run.parent / "data.npy", to / "data.npy")
    edit(to / "run" / "run.json", lambda d: d.update(source=str(to / "data.npy")))
    return to / "run"


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


def edit_model(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The model's own description, under a fresh manifest."""
    model = files.read_folder(run / "model")
    described = json.loads(model["config.json"])
    change(described["config"])
    model["config.json"] = json.dumps(described).encode()
    files.write_folder(run / "model", {k: v for k, v in model.items() if k != "manifest.json"}, replace=True)


def edit_both(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    edit_model(run, change)
    edit(run / "run.json", lambda d: change(d["config"]))


def named(run: Path) -> list[str]:
    return [finding.name for finding in diagnose(run)]
