"""One door to all data: a built-in name, or a path whose content decides how it is read.

Nothing is asked for and nothing changed silently: what was found, used, skipped and done is in the dataset's report.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from reverie.core.errors import BAD_DATA, UserError, unknown
from reverie.data.base import Dataset, Spec
from reverie.data.builtin import BUILTIN, open_builtin
from reverie.data.fitting import ASKED
from reverie.data.formats.arrays import open_npy, open_npz
from reverie.data.formats.binary import cifar_files, is_idx, open_cifar, open_idx, pairs
from reverie.data.formats.images import open_pictures
from reverie.data.labelling import label_by_folder
from reverie.data.limits import Unreadable, kind_of, open_regular
from reverie.data.report import Report
from reverie.data.sources import PICTURES, Item, archive_items, folder_items, is_picture, start_of


@dataclass(frozen=True)
class Options:
    """What the user said about the data; empty entries are found out."""

    label: str = ""
    condition: tuple[str, ...] = ()
    size: str = ""
    mode: str = ""
    layout: str = ""
    bounds: tuple[float, float] | None = None


def open_data(
    source: str | Path,
    *,
    label: str = "",
    condition: Sequence[str] = (),
    size: str = "",
    mode: str = "",
    layout: str = "",
    bounds: str | tuple[float, float] | None = None,
) -> Dataset:
    """The data set of a built-in name (`BUILTIN`) or at a path.

    `label` names the column or array of labels, `condition` those of numeric conditions. `size` ("64", "48x64") and
    `mode` ("L", "LA", "RGB", "RGBA") change pictures; `layout` ("CHW", "HWC", "CL", …) and `bounds` ("LOW,HIGH")
    overrule what is found out about arrays. Raises UserError if there is nothing that can be used.
    """
    options = Options(label, _listed(condition), str(size or ""), mode, layout, parse_bounds(bounds))
    name = os.fspath(source)
    report = Report(name)
    if name in BUILTIN:
        return open_builtin(name, report)
    path = Path(name)
    if not os.path.lexists(path):
        raise _nothing_there(name)
    data = _folder(path, report, options) if path.is_dir() else _file(path, report, options)
    report.hold()
    return data


def _listed(condition: Sequence[str]) -> tuple[str, ...]:
    parts = condition.split(",") if isinstance(condition, str) else list(condition)
    return tuple(part.strip() for part in parts if part.strip())


def parse_bounds(bounds: str | tuple[float, float] | None) -> tuple[float, float] | None:
    """ "0,255" or (0, 255) → (0.0, 255.0); None or "" → None."""
    if not bounds:
        return None
    try:
        low, high = (float(v) for v in (bounds.split(",") if isinstance(bounds, str) else bounds))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise UserError(f"bounds must be two numbers LOW,HIGH with LOW below HIGH, not '{bounds}'")
    return low, high


def _nothing_there(name: str) -> UserError:
    """The error for a name that is neither built in nor a path, with the nearest of both."""
    path = Path(name)
    try:
        beside = [entry.name for entry in os.scandir(path.parent if str(path.parent) else ".")]
    except OSError:
        beside = []
    near = difflib.get_close_matches(path.name, beside, n=1)
    if os.sep in name or "." in name or near:
        hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
        return UserError(f"'{name}' does not exist{hint}")
    return unknown("data set", name, BUILTIN)


def _file(path: Path, report: Report, options: Options) -> Dataset:
    status = os.stat(path) if path.exists() else None
    if status is None:
        raise UserError(f"'{path}' is a link to nowhere", code=BAD_DATA)
    if not stat.S_ISREG(status.st_mode):
        raise UserError(
            f"'{path}' is not a regular file but a {kind_of(status.st_mode)}; it is never opened", code=BAD_DATA
        )
    try:
        with open_regular(path) as file:
            start = file.read(512)
        if start[:2] == b"\x1f\x8b":
            start = gunzip_start(path)
    except Unreadable as reason:
        raise UserError(f"'{path}': {reason}", code=BAD_DATA) from reason
    if not start:
        raise UserError(f"'{path}' is empty (0 bytes)", code=BAD_DATA)
    layout, bounds = options.layout, options.bounds
    if start.startswith(b"\x93NUMPY"):
        return open_npy(path, report, condition=options.condition, layout=layout, bounds=bounds)
    if start.startswith(b"PK") and path.suffix == ".npz":
        return open_npz(path, report, condition=options.condition, label=options.label, layout=layout, bounds=bounds)
    if is_idx(start):
        return open_idx(path, report, layout=layout, bounds=bounds)
    if cifar_files(path):
        return open_cifar(path, report)
    if start.startswith(b"PK") or start[257:262] == b"ustar":
        items = archive_items(path, report)
        return _items(items, report, path.stem, options)
    if is_picture(start):
        raise UserError(f"'{path}' is a single picture; name the folder that holds the pictures", code=BAD_DATA)
    raise UserError(f"'{path}' is of no format that is known here", code=BAD_DATA)


def gunzip_start(path: Path) -> bytes:
    """The first bytes inside a gzip file."""
    import gzip
    import zlib

    try:
        with open_regular(path) as raw, gzip.GzipFile(fileobj=raw) as file:
            return file.read(512)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"'{path}' is a damaged gzip file: {error}", code=BAD_DATA) from error


def _folder(path: Path, report: Report, options: Options) -> Dataset:
    if pairs(path):
        return open_idx(path, report, layout=options.layout, bounds=options.bounds)
    if cifar_files(path):
        return open_cifar(path, report)
    return _items(folder_items(path, report), report, path.resolve().name, options)


def _items(items: list[Item], report: Report, name: str, options: Options) -> Dataset:
    """Examples that are one file each."""
    pictures = []
    for item in items:
        if item.suffix in PICTURES or is_picture(start_of(item)):
            pictures.append(item)
        else:
            report.ignore(item.name, _not_data(item, items))
    data, used = open_pictures(pictures, report, name=name, size=options.size, mode=options.mode, bounds=options.bounds)
    data.names = [item.name for item in used]
    label_by_folder(data, data.names)
    return data


def _not_data(item: Item, items: list[Item]) -> str:
    if item.suffix == "svg":
        return "a vector drawing (SVG); draw it to pixels first"
    return f"not data: .{item.suffix} file" if item.suffix else "not data: a file without a known content"


def load_like(source: str | Path, spec: Spec) -> Dataset:
    """Other data for a model whose data were `spec`. Raises UserError if shape, units or classes do not fit.

    Pictures are made alike as the model's own were (size and colours); labels are matched by name, conditions too.
    """
    options: dict[str, Any] = {"condition": _columns(spec), "label": str(spec.extra.get("label", ""))}
    if spec.mode:
        plain = spec.mode.split(";")[0]
        options |= {"size": f"{spec.shape[1]}x{spec.shape[2]}", "mode": plain if plain in ASKED else ""}
    if spec.format in ("npy", "npz"):
        options["layout"] = spec.layout
    data = open_data(source, **options)
    own = data.spec
    if own.shape != spec.shape:
        raise UserError(
            f"'{source}' has examples of shape {own.shape}, but the model's are {spec.shape}", code=BAD_DATA
        )
    if (own.scale.low, own.scale.high) != (spec.scale.low, spec.scale.high) and not _inside(data, spec):
        low, high = data.report.facts["range"]
        raise UserError(
            f"'{source}' holds {own.dtype} from {low:g} to {high:g}, but the model's data are {spec.dtype} from "
            f"{spec.scale.low:g} to {spec.scale.high:g}",
            code=BAD_DATA,
        )
    return _relabelled(data, spec, str(source))


def _columns(spec: Spec) -> list[str]:
    """The names of the conditions as they were asked for: entries "name[k]" of a vector are one."""
    return list(dict.fromkeys(name.split("[")[0] for name in spec.conditions))


def _inside(data: Dataset, spec: Spec) -> bool:
    """Whether the values are of the model's type and within its bounds."""
    low, high = data.report.facts["range"]
    if spec.scale.low is None or spec.scale.high is None:
        return data.spec.scale.low is None or data.spec.dtype == spec.dtype
    return data.spec.dtype == spec.dtype and spec.scale.low <= low and high <= spec.scale.high


def _relabelled(data: Dataset, spec: Spec, source: str) -> Dataset:
    """The dataset with the model's scale, numbers of classes and standardised conditions."""
    own = data.spec
    if data.label is not None and spec.classes:
        foreign = [name for name in own.classes if name not in spec.classes]
        if foreign:
            raise UserError(f"'{source}' has the class '{foreign[0]}', which the model does not know", code=BAD_DATA)
        data.label = torch.tensor([spec.classes.index(name) for name in own.classes])[data.label]
    elif spec.classes:
        data.report.note("no labels: the model is asked without a class")
    else:
        data.label = None
    if data.given is not None:
        native = data.given * torch.tensor(own.condition_spread) + torch.tensor(own.condition_mean)
        data.given = (native - torch.tensor(spec.condition_mean)) / torch.tensor(spec.condition_spread)
    data.spec = replace(spec, name=own.name, count=own.count, mean=own.mean, spread=own.spread, layout=own.layout)
    return data
