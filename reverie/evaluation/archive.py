"""Reports on disk, found again by what they are made of: the model's files, the data, the arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reverie import __version__
from reverie.core import files, modelfile
from reverie.core.errors import UserError
from reverie.data.builtin import BUILTIN
from reverie.training.checkpoint import Checkpoints
from reverie.training.folder import RunFolder

FORMAT = 5  # raised whenever the same model would get other numbers or words


def place(path: str | Path, arguments: dict[str, Any]) -> Path:
    """Where the report of these arguments, this very model and these very data lies, or would lie."""
    _, described = RunFolder.open(path)
    source = str(arguments.get("data") or described["source"])
    stamps = [] if source in BUILTIN else list(_stamps(Path(source)))
    made_of = {"version": __version__, "format": FORMAT, "arguments": arguments, "source": source, "files": stamps}
    digest = hashlib.sha256(_weights(Path(path)).read_bytes() + json.dumps(made_of, sort_keys=True).encode())
    return Path(path) / "evaluation" / digest.hexdigest()[:16]


def _weights(run: Path) -> Path:
    """The list of hashes of the run's model, or of its newest resume point while there is no model yet."""
    if (run / "model").is_dir():
        return run / "model" / files.MANIFEST
    checkpoints = Checkpoints(run / "checkpoints")
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"the run '{run}' has no checkpoint yet")
    return checkpoints.path(steps[-1]) / files.MANIFEST


def _stamps(source: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of each file of the data."""
    for file in sorted(source.rglob("*")) if source.is_dir() else [source] if source.is_file() else []:
        status = file.stat()
        yield file.name, status.st_size, status.st_mtime_ns


def store(folder: Path, numbers: dict[str, Any], html: str) -> None:
    """The report as JSON and as a page."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_file(folder / "report.html", html.encode())
    files.write_file(folder / "evaluation.json", json.dumps(numbers, indent=1).encode() + b"\n")


def stored(folder: Path) -> dict[str, Any] | None:
    """The numbers of an earlier report."""
    file = folder / "evaluation.json"
    return modelfile.read_config(file.read_bytes()) if file.is_file() else None
