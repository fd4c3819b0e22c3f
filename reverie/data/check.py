"""What `reverie check` and the first lines of `reverie train` say about data: counts, shapes, ranges, what is wrong.

`examine` opens data as training would and keeps the findings where that fails. `brief` is a few lines, `detailed` all
of them, `to_json` the same as plain values with stable names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from reverie.core.errors import UserError
from reverie.data.base import Dataset
from reverie.data.measure import parse_bounds
from reverie.data.opening import Options, open_reported
from reverie.data.report import Report

SHOWN = 8  # names of files listed for each finding


@dataclass(frozen=True)
class Finding:
    """The report on some data, the data if they can be used, and the error and its exit code if they cannot."""

    report: Report
    data: Dataset | None
    error: str = ""
    code: int = 0


def examine(
    source: Any,
    *,
    label: str = "",
    condition: str = "",
    size: str = "",
    mode: str = "",
    layout: str = "",
    bounds: str = "",
) -> Finding:
    """Open data with the options of `open_data` and find out what there is to say; never raises UserError."""
    report = Report(str(source))
    try:
        columns = tuple(c.strip() for c in condition.split(",") if c.strip())
        options = Options(label, columns, str(size or ""), mode, layout, parse_bounds(bounds))
        data = open_reported(source, report, options)
    except UserError as error:
        report.error = str(error)
        return Finding(report, None, str(error), error.code)
    report = data.report
    count_duplicates(data)
    return Finding(report, data)


def count_duplicates(data: Dataset) -> None:
    """Note how many examples equal an earlier one, where all are in memory and files did not say so already."""
    groups = data.twins()
    if groups is None:
        return
    sizes = torch.unique(groups, return_counts=True)[1]
    again = int((sizes - 1).sum())
    data.report.facts["repeated"] = again
    if again:
        data.report.note(f"{again} of {len(data)} examples equal an earlier one")


def brief(data: Dataset) -> list[str]:
    """A few lines: what was read, what was skipped, what was changed."""
    spec, report = data.spec, data.report
    shape = "×".join(map(str, spec.shape))
    classes = f", {len(spec.classes)} classes" if spec.classes else ""
    lines = [f"{report.path}: {len(data):,} examples of {shape} ({spec.kind}, {spec.dtype}{classes})"]
    if report.skipped:
        lines.append(f"skipped {report.skipped} of {report.found} files; 'reverie check' lists them with reasons")
    return lines + report.notes


def detailed(finding: Finding) -> list[tuple[str, str]]:
    """Rows (what, finding) for a person to read."""
    report, data = finding.report, finding.data
    rows: list[tuple[str, str]] = []
    if data is not None:
        rows += _form(data)
    rows += [("found", f"{report.found:,} = {report.used:,} used + {report.skipped:,} skipped")] if report.found else []
    rows += [(name, _counts(counts)) for name, counts in _tallies(report) if counts]
    rows += [("unreadable", f"{name}: {reason}") for name, reason in report.unreadable]
    rows += [("not data", f"{_listed(names)}: {reason}") for reason, names in _by_reason(report.ignored)]
    rows += [("same content", _listed(names)) for names in report.duplicates[:SHOWN]]
    rows += [("remark", f"{what}: {_listed(names)}") for what, names in report.remarks.items()]
    rows += [("note", note) for note in report.notes]
    return rows + ([("error", finding.error)] if finding.error else [])


def _form(data: Dataset) -> list[tuple[str, str]]:
    """What an example is, its range, and what its values become."""
    spec, report = data.spec, data.report
    train, held = data.split()
    rows = [
        ("examples", f"{len(data):,} of {'×'.join(map(str, spec.shape))} ({spec.kind}, {spec.dtype})"),
        ("held out", f"{len(held):,} for testing, {len(train):,} to learn from"),
    ]
    if "range" in report.facts:
        low, high = report.facts["range"]
        rows.append(("range", f"{low:g} … {high:g} in the data; {_meaning(data)}"))
    for entry in report.facts.get("channels", [])[:24]:
        numbers = f"{entry['min']:g} … {entry['max']:g}, mean {entry['mean']:.4g}, std {entry['std']:.4g}"
        rows.append((f"channel {entry['name']}", numbers))
    if spec.conditions:
        rows.append(("conditions", ", ".join(spec.conditions)))
    return rows


def _meaning(data: Dataset) -> str:
    scale = data.spec.scale
    if scale.low is not None and scale.high is not None and scale.spread == ((scale.high - scale.low) / 2,):
        levels = f" in {scale.bins} levels" if scale.bins else ""
        return f"{scale.low:g} … {scale.high:g}{levels} becomes −1 … 1"
    return "each channel is brought to mean 0 and variance 1"


def _tallies(report: Report) -> list[tuple[str, Mapping[str, int]]]:
    return [
        ("types", report.formats),
        ("modes", report.modes),
        ("sizes", report.sizes),
        ("labels", report.labels),
        ("missing", report.facts.get("missing", {})),
    ]


def _by_reason(named: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(reason, the names that have it), in the order of the first names."""
    groups: dict[str, list[str]] = {}
    for name, reason in named:
        groups.setdefault(reason, []).append(name)
    return list(groups.items())


def _counts(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda entry: -entry[1])
    more = f", … and {len(ranked) - 24} more" if len(ranked) > 24 else ""
    return ", ".join(f"{name} {count:,}" for name, count in ranked[:24]) + more


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def to_json(finding: Finding) -> dict[str, Any]:
    """The report, and what an example is, as plain values."""
    data = finding.data
    found = finding.report.to_json()
    if data is not None:
        train, held = data.split()
        found |= {"spec": data.spec.to_json(), "examples": len(data), "train": len(train), "held_out": len(held)}
    return found
