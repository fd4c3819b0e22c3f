"""Resume points of a run: folders `step-00000400/` of safetensors and JSON, whole or invisible.

The newest one that is whole wins; there is no pointer to it that could be wrong. One that is damaged is named, and the
one before it taken. Old ones go only after a new one was read back from the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from reverie.core import files, modelfile
from reverie.core.errors import BAD_DATA, NON_FINITE, UserError
from reverie.core.lock import Lock

__all__ = ["Checkpoints", "Loaded", "Lock", "flatten_optimizer", "restore_optimizer"]

FORMAT = 1
STATE = "state.json"
FOLDER = re.compile(r"step-(\d{8,18})")
# how a step is computed, not what it computes: these stay as the running process chose them
_LOCAL = ("foreach", "fused", "capturable", "differentiable")


@dataclass(frozen=True)
class Loaded:
    """A resume point: the update after which it was made, tensors by group and name, and plain values."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


class Checkpoints:
    """The resume points in a folder. The newest `keep` stay, and each whose step is a multiple of `keep_every`.

    With `keep_first` the oldest stays too: a worse model of the same run, which autoguidance steers away from.
    """

    def __init__(self, folder: str | Path, keep: int = 2, keep_every: int = 0, *, keep_first: bool = False) -> None:
        if keep < 1 or keep_every < 0:
            raise ValueError(f"keep must be at least 1 and keep_every at least 0, not {keep} and {keep_every}")
        self.folder, self.keep, self.keep_every, self.keep_first = Path(folder), keep, keep_every, keep_first

    def steps(self) -> list[int]:
        """The steps of the resume points, oldest first; what is damaged counts, other names do not."""
        if not self.folder.is_dir():
            return []
        names = {entry.name.removeprefix(".old-") for entry in self.folder.iterdir() if entry.is_dir()}
        found = [int(match[1]) for match in map(FOLDER.fullmatch, names) if match]
        return sorted(step for step in found if _name(step) in names)

    def path(self, step: int) -> Path:
        return self.folder / _name(step)

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
        """Write a resume point, read it back, then let old ones go.

        Resume points of later steps belong to a past that this run left; they are renamed `step-N.abandoned`.
        Raises UserError: exit code 75, before anything is written, if a value is not finite; 74 if the disk refuses;
        65 if what was read back differs. Earlier resume points are then all still there.
        """
        _refuse_non_finite(step, tensors)
        contents = {f"{group}.safetensors": modelfile.save_tensors(named) for group, named in tensors.items()}
        described = {"format_version": FORMAT, "step": step, "state": state}
        contents[STATE] = json.dumps(described, indent=1, sort_keys=True, allow_nan=False).encode()
        files.make_folder(self.folder)
        files.sweep(self.folder)
        files.write_folder(self.path(step), contents, replace=True)
        files.read_folder(self.path(step))
        self._retire(step)
        return self.path(step)

    def _retire(self, saved: int) -> None:
        """Set aside what comes after the resume point just saved; remove all but the newest of the others."""
        steps = self.steps()
        for step in (s for s in steps if s > saved):
            files.set_aside(self.path(step), f"{_name(step)}.abandoned")
        known = [s for s in steps if s <= saved]
        for step in known[int(self.keep_first) : -self.keep]:
            if not self.keep_every or step % self.keep_every:
                files.discard(self.path(step))

    def latest(self, say: Callable[[str], None] = lambda line: None) -> Loaded | None:
        """The newest resume point that is whole, or None if there never was one.

        `say` is told of each damaged one that was passed over. Raises UserError (65) if all are damaged: a run that
        has resume points never starts afresh by itself.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.load(self.path(step))
            except UserError as error:
                if error.code != BAD_DATA:
                    raise
                say(f"{error}; going back to the resume point before it")
        if steps:
            raise UserError(f"none of the {len(steps)} resume points in '{self.folder}' can be read", code=BAD_DATA)
        return None

    def load(self, path: str | Path) -> Loaded:
        """The resume point in this folder, and no other. Raises UserError (65) that names the file at fault."""
        path = Path(path)
        stored = files.read_folder(path, needs=(STATE,))
        described = modelfile.read_config(stored.pop(STATE), where=str(path / STATE))
        version, step, state = (described.get(key) for key in ("format_version", "step", "state"))
        if version != FORMAT:
            raise UserError(f"'{path}': format version {version!r} is not {FORMAT}, the one read here", code=BAD_DATA)
        if type(step) is not int or not isinstance(state, dict):
            raise UserError(f"'{path / STATE}' lacks the step or the state", code=BAD_DATA)
        match = FOLDER.fullmatch(path.name)
        if match and int(match[1]) != step:
            raise UserError(f"'{path}' holds step {step}, not the one in its name", code=BAD_DATA)
        groups = {
            name.removesuffix(".safetensors"): modelfile.load_tensors(data, where=str(path / name))
            for name, data in stored.items()
        }
        return Loaded(step, groups, state)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _refuse_non_finite(step: int, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    for group, named in tensors.items():
        for name, tensor in named.items():
            if not torch.isfinite(tensor).all():
                raise UserError(f"update {step}: {group} '{name}' is not finite; nothing was saved", code=NON_FINITE)


def flatten_optimizer(optimizer: Optimizer, names: Iterable[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors `parameter/key`, and its options as plain values.

    `names` are those of its parameters, in the order in which it was given them.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for name, parameter in _named(optimizer, names):
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = value.detach()
            else:
                plain.setdefault(name, {})[key] = value
    groups = [{k: _plain(v) for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return tensors, {"kind": type(optimizer).__name__, "groups": groups, "values": plain}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else list(value) if isinstance(value, tuple) else value


def _named(optimizer: Optimizer, names: Iterable[str]) -> list[tuple[str, Tensor]]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return list(zip(names, parameters, strict=True))


def restore_optimizer(
    optimizer: Optimizer, names: Iterable[str], tensors: Mapping[str, Tensor], described: Mapping[str, Any]
) -> None:
    """Give an optimizer the state that `flatten_optimizer` took, to the bit.

    Raises UserError (65), with the optimizer untouched, if the state is of another optimizer or of other parameters.
    """
    kind, groups = described.get("kind"), described.get("groups")
    if kind != type(optimizer).__name__ or not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
        raise UserError(f"the saved optimizer is a {kind}, not this {type(optimizer).__name__}", code=BAD_DATA)
    named = dict(_named(optimizer, names))
    fused = {p: g.get("fused") or g.get("capturable") for g in optimizer.param_groups for p in g["params"]}
    state: dict[Tensor, dict[str, Any]] = {}
    for full, tensor in tensors.items():
        name, _, key = full.rpartition("/")
        parameter = named.get(name)
        if parameter is None or (tensor.ndim and tensor.shape != parameter.shape):
            raise UserError(f"the saved optimizer state '{full[:100]}' fits no parameter of this model", code=BAD_DATA)
        # a counter stays on the CPU unless the optimizer's kernel reads it on the device
        device = parameter.device if tensor.ndim or fused[parameter] else torch.device("cpu")
        state.setdefault(parameter, {})[key] = tensor.to(device, copy=True)
    if state and len(state) != len(named):
        raise UserError(f"the saved optimizer knows {len(state)} of {len(named)} parameters", code=BAD_DATA)
    for name, values in described.get("values", {}).items():
        state.setdefault(named[name], {}).update(values)
    optimizer.state.clear()
    optimizer.state.update(state)
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        for key, value in saved.items():
            if key in group and key not in (*_LOCAL, "params"):
                group[key] = tuple(value) if isinstance(group[key], tuple) else value
