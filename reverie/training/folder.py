"""A run on disk: what it is (run.json), how to repeat it (recipe.toml), what happened (metrics.jsonl), what came out.

RUN/run.json environment.json recipe.toml metrics.jsonl   checkpoints/step-N/   previews/   tensorboard/
RUN/model/{config.json, model.safetensors, README.md}     samples.png denoising.png loss.png
RUN/snapshots/step-N.safetensors (where wanted)   evaluation/HASH/{report.html, evaluation.json}   compare.png
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reverie import __version__
from reverie.core import files, modelfile
from reverie.core.errors import BAD_DATA, UserError
from reverie.training.recipe import Config
from reverie.training.snapshots import forget_after

FORMAT = 1


class RunFolder:
    """The files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @staticmethod
    def absent(path: str | Path) -> None:
        """Raises UserError if something is already there: nothing that exists is overwritten."""
        if Path(path).exists():
            raise UserError(
                f"'{path}' already exists; continue it with 'reverie train --resume {path}', "
                "or choose another folder with --out"
            )

    @classmethod
    def create(
        cls, path: str | Path, described: dict[str, Any], config: Config, parts: Mapping[str, Mapping[str, bytes]]
    ) -> RunFolder:
        """A new folder with the run's description, whole or not at all, and `parts`: folders of files that it needs.

        Raises UserError if something is there.
        """
        cls.absent(path)
        whole = Path(path)
        part = cls(whole.with_name(f".{whole.name}.tmp-{os.getpid()}"))
        for name in ("checkpoints", "previews"):
            (part.path / name).mkdir(parents=True)
        part.write("environment.json", _json(environment()))
        part.write("recipe.toml", to_toml(config).encode())
        part.write("run.json", _json({"format_version": FORMAT, **described, "config": config}))
        for name, contents in parts.items():
            files.write_folder(part.path / name, contents)
        part.path.rename(whole)
        return cls(whole)

    @classmethod
    def open(cls, path: str | Path) -> tuple[RunFolder, dict[str, Any]]:
        """An existing run and its description. Raises UserError if the folder is none."""
        folder = cls(path)
        file = folder.path / "run.json"
        if not file.is_file():
            raise UserError(f"'{path}' is not a run folder: it has no run.json")
        described = modelfile.read_config(file.read_bytes())
        if described.get("format_version") != FORMAT:
            version = described.get("format_version")
            raise UserError(f"{file}: format version {version!r} is not {FORMAT}, the one read here", code=BAD_DATA)
        return folder, described

    def write(self, name: str, data: bytes) -> Path:
        """A file of the run, whole or not at all."""
        files.write_file(self.path / name, data)
        return self.path / name

    def log(self, entries: list[dict[str, Any]]) -> None:
        """Lines for metrics.jsonl."""
        if entries:
            files.append_line(self.path / "metrics.jsonl", "\n".join(json.dumps(e) for e in entries), sync=True)

    def rewind(self, step: int, *, ended: bool = False) -> None:
        """Forget what was logged after update `step`, which a resumed run will do again.

        A run that had `ended` its updates, but not its last looks at itself, takes those again too.
        """
        files.sweep(self.path)
        forget_after(self.path, step)

        def kept(entry: dict[str, Any]) -> bool:
            at = entry.get("step", 0)
            return at < step or (at == step and not (ended and "by_time" in entry))

        files.truncate_lines(self.path / "metrics.jsonl", kept)

    def metrics(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        file = self.path / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines() if line] if file.exists() else []


def environment() -> dict[str, Any]:
    """Where a run was made: versions and machine, as far as they can change its bits."""
    return {
        "reverie": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": command(),
    }


def command() -> str:
    """What was typed to start this process: `reverie train …`, `python -m benchmarks.main_job …`, or a file's name."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = "" if spec is None else spec.name.removesuffix(".__main__")
    program = f"python -m {module}" if module else Path(sys.argv[0]).name
    return " ".join([program, *sys.argv[1:]])


def to_toml(config: Config) -> str:
    """A configuration as a recipe file: `--recipe RUN/recipe.toml` repeats the run."""
    lines = [f"seed = {config['seed']}"] if "seed" in config else []
    for section, table in config.items():
        if not isinstance(table, dict):
            continue
        lines += ["", f"[{section}]", *(f"{k} = {_toml(v)}" for k, v in table.items() if v is not None)]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # numbers, booleans and strings are written alike in both


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
