"""The report as one HTML file: no network, no scripts, readable on a phone."""

from __future__ import annotations

import base64
import html
import math
from typing import Any

import torch

from reverie import pictures
from reverie.data import Spec, is_picture, to_picture
from reverie.evaluation.measures import MEANING
from reverie.evaluation.report import Evaluation
from reverie.training import artefacts

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: auto; padding: 1rem; color: #1d2733 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } img { max-width: 100%; height: auto }
table { border-collapse: collapse; width: 100%; font-size: .9rem } small, figcaption { color: #5b6875 }
td, th { padding: .25rem .5rem; text-align: left; border-bottom: 1px solid #dde3ea } figure { margin: 1rem 0 }
.wide { overflow-x: auto } .verdict { background: #f2f6fa; border-left: 4px solid #1f4e79; padding: .5rem 1rem }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body>{body}</body></html>
"""


def page(found: Evaluation, spec: Spec, metrics: list[dict[str, Any]]) -> str:
    """The whole report."""
    numbers = found.numbers
    parts = [
        f"<h1>{html.escape(spec.name)}: how good is this model?</h1>",
        *(
            f'<div class="verdict"><b>{html.escape(f.name)}</b>: {html.escape(f.figure)}.<br>'
            f"<small>{html.escape(f.advice)}</small></div>"
            for f in found.findings
        ),
        f"<p><small>{numbers['samples']} samples (seed {numbers['seed']}) beside {numbers['real']} held-out examples; "
        f"features: {html.escape(numbers['features'])}. Numbers from other features or other counts do not compare. "
        f"{numbers['seconds_per_sample'] * 1000:.1f} ms a sample.</small></p>",
        "<h2>Samples and real data</h2>",
        _picture(artefacts.sheet(found.samples[:60], spec, found.real), "samples"),
        _picture(artefacts.sheet(found.real[:60], spec, found.real), "real held-out data"),
        "<h2>Measures</h2>",
        _measures(found),
        *_bits(numbers),
    ]
    parts += _memory(found, spec) + _labels(numbers) + _losses(numbers)
    parts += ["<h2>Training</h2>", _picture(artefacts.loss_curve(metrics), "loss by update")]
    return PAGE.format(title=html.escape(spec.name), style=STYLE, body="".join(parts))


def _picture(data: bytes, what: str) -> str:
    shown, encoded = html.escape(what), base64.b64encode(data).decode()
    image = f'<img alt="{shown}" src="data:image/png;base64,{encoded}">'
    return f"<figure>{image}<figcaption>{shown}</figcaption></figure>"


def _table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def rows(found: Evaluation) -> list[list[str]]:
    """The table of measures, for any surface."""
    return [
        [
            name,
            f"{m.value.value:.4g} ± {1.96 * m.value.error:.2g}",
            f"{m.floor.value:.4g} ± {1.96 * m.floor.error:.2g}",
            f"{m.baseline:.4g}",
            MEANING[name],
        ]
        for name, m in found.measures.items()
    ]


def _measures(found: Evaluation) -> str:
    return _table(["", "samples (95 %)", "real data in their place", "Gaussian fit", "what it says"], rows(found))


def _bits(numbers: dict[str, Any]) -> list[str]:
    bits = numbers["bits_per_dim"]
    if not bits:
        return []
    beside = f"; a uniform guess costs {math.log2(bits['levels']):.3g}" if bits["levels"] else " (of a density)"
    said = (
        f"{bits['value']:.3f} ± {1.96 * bits['error']:.2g} bits per dimension on {bits['examples']} held-out examples"
    )
    return [f"<p>{said}{beside} ({bits['method']}).</p>"]


def _memory(found: Evaluation, spec: Spec) -> list[str]:
    copies = found.numbers["copies"]
    if copies is None:
        return []
    parts = [
        f"<h2>Memory</h2><p>{copies['samples']:.1%} of samples nearly copy a training example; so do "
        f"{copies['held_out']:.1%} of held-out data. The closest pairs, sample above, training example below:</p>"
    ]
    if is_picture(spec):
        both = torch.cat(found.pairs)
        parts.append(
            _picture(pictures.png(pictures.grid(to_picture(both, spec), columns=len(found.pairs[0]))), "closest pairs")
        )
    return parts


def _labels(numbers: dict[str, Any]) -> list[str]:
    if not numbers["labels"]:
        return []
    table = _table(["class", "given the label asked for"], [[k, f"{v:.1%}"] for k, v in numbers["labels"].items()])
    return ["<h2>Labels</h2>", table]


def _losses(numbers: dict[str, Any]) -> list[str]:
    curve = numbers["losses"]
    if not curve:
        return []
    names = {"train": "training examples", "held_out": "held out", "best_on_train": "best possible on the training set"}
    series = {
        text: ([row["t"] for row in curve], [row[key] for row in curve])
        for key, text in names.items()
        if key in curve[0]
    }
    drawn = pictures.render(pictures.curves(series, x="t (0 = data, 1 = noise)", y="loss"))
    return ["<h2>Loss by noise level</h2>", _picture(drawn, "a training loss below the best possible one is memory")]
