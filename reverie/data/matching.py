"""Other data for a model that is there already: read alike, held against the model's own shape, units and classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.core.errors import BAD_DATA, USAGE, UserError
from reverie.data.base import Dataset, Spec
from reverie.data.fitting import ASKED
from reverie.data.opening import open_data
from reverie.data.stored import Stored

LAID_OUT = ("npy", "npz", "csv", "tsv", "jsonl")  # formats where the layout is otherwise found out from the values


def load_like(source: str | Path, spec: Spec) -> Dataset:
    """Other data for a model whose data were `spec`. Raises UserError if shape, units or classes do not fit.

    Pictures are made alike as the model's own were (size and colours). Labels are matched by name. Conditions and
    labels that the data do not have are left out: the model is asked without them.
    """
    options: dict[str, Any] = {}
    if spec.mode:
        plain = spec.mode.split(";")[0]
        options |= {"size": f"{spec.shape[1]}x{spec.shape[2]}", "mode": plain if plain in ASKED else ""}
    if spec.format in LAID_OUT:
        options["layout"] = spec.layout
    data = _with_what_there_is(source, str(spec.extra.get("label", "")), _columns(spec), options)
    data = _with_all_categories(data, spec)
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


def _with_all_categories(data: Dataset, spec: Spec) -> Dataset:
    """The table with zeros for each of the model's categories ("column=value") that does not occur in it."""
    own = data.spec.columns
    missing = set(spec.columns) - set(own)
    if spec.kind != "table" or not missing or not set(own) < set(spec.columns) or not all("=" in n for n in missing):
        return data
    there = data.native(torch.arange(len(data))).numpy()
    whole = np.zeros((len(there), len(spec.columns)), there.dtype)
    whole[:, [spec.columns.index(name) for name in own]] = there
    form = replace(data.spec, shape=spec.shape, columns=spec.columns, scale=spec.scale, extra=spec.extra)
    widened = Stored(whole, form, data.report)
    widened.label, widened.given, widened.held = data.label, data.given, data.held
    return widened


def _with_what_there_is(source: str | Path, label: str, condition: list[str], options: dict[str, Any]) -> Dataset:
    """The data with the model's columns and form, or with those of them that can be asked for."""
    columns: list[dict[str, Any]] = [
        {"label": label, "condition": condition},
        {"label": label},
        {"condition": condition},
        {},
    ]
    wanted = [{**c, **form} for form in (options, {}) for c in columns if not c or any(c.values())]
    for chosen in wanted[:-1]:
        try:
            return open_data(source, **chosen, constant=True)
        except UserError as error:
            if error.code != USAGE:  # not for want of a column or a form, but damaged
                raise
    return open_data(source, constant=True)


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
