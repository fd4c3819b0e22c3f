"""The report as one HTML file: no network, no scripts, readable on a phone and by someone who has not read the code."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from typing import Any

import torch

from reverie import pictures
from reverie.data import Spec, is_picture, to_picture
from reverie.evaluation.measures import MEANING
from reverie.evaluation.report import Evaluation
from reverie.evaluation.verdict import HEADLINES
from reverie.training import artefacts

STYLE = """
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: auto; padding: 1rem; color: #1d2733 }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
img { max-width: 100%; height: auto } figure { margin: 1rem 0 } small, figcaption { color: #5b6875 }
.verdict { background: #f2f6fa; border-left: 4px solid #1f4e79; padding: .5rem 1rem; margin: 1rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
td, th { padding: .3rem .5rem; text-align: left; border-bottom: 1px solid #dde3ea; overflow-wrap: anywhere }
td small { display: block } th { color: #5b6875; font-weight: 600 }
.scale { position: relative; height: .5rem; margin-top: .3rem; border-radius: .25rem; min-width: 6rem;
  background: linear-gradient(90deg, #3a7d44, #e3c567, #d1495b) }
.scale i { position: absolute; top: -.2rem; width: .3rem; height: .9rem; background: #1d2733; border-radius: .1rem }
@media (max-width: 40rem) {
  thead { display: none } tr { display: block; padding: .5rem 0; border-bottom: 1px solid #dde3ea }
  td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0 }
  td:first-child { display: block } td[data-head]::before { content: attr(data-head); color: #5b6875 }
}
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body>
{body}
</body></html>
"""
FEATURES = {
    "values": "the numbers of the examples themselves",
    "pca": "the leading principal components of the training examples",
    "classifier": "what a small classifier, trained on the data's own labels, sees in an example",
    "random": "the responses of a fixed random convolutional network",
    "pairs": "how often each two letters stand side by side in an example",
}
NORMAL = 0.5 * math.log2(2 * math.pi * math.e)  # bits of a normal number of variance 1
HEAD = ("", "samples", "real data", "Gaussian fit", "from real data to Gaussian fit")


def page(found: Evaluation, spec: Spec, metrics: list[dict[str, Any]]) -> str:
    """The whole report."""
    numbers = found.numbers
    parts = [f"<h1>{html.escape(spec.name)}: how good is this model?</h1>", *_verdicts(found)]
    parts += [_introduction(numbers), "<h2>Samples and real data</h2>", *_sheets(found, spec)]
    parts += ["<h2>Measures</h2>", _features(numbers), _measures(numbers), *_columns(numbers)]
    parts += _memory(found, spec) + _labels(numbers) + _likelihood(numbers)
    if metrics:
        curve = _picture(artefacts.loss_curve(metrics), "the training loss by update, and the loss on held-out data")
        parts += ["<h2>Training</h2>", curve]
    parts.append(_cost(numbers))
    return PAGE.format(title=html.escape(f"{spec.name}: report"), style=STYLE, body="\n".join(parts))


def _verdicts(found: Evaluation) -> list[str]:
    return [
        f'<div class="verdict"><b>{html.escape(HEADLINES[f.name])}</b><br>{html.escape(_sentence(f.figure))}<br>'
        f"<small>To try: {html.escape(f.advice)}</small></div>"
        for f in found.findings
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _introduction(numbers: dict[str, Any]) -> str:
    return (
        f"<p>{numbers['samples']:,} samples of the model are held against {numbers['real']:,} real examples that it "
        "was not trained on. Every measure is also taken of <b>real data</b> in the samples' place, which is the best "
        "that a perfect model could reach, and of a <b>Gaussian fit</b>, a mere cloud with the data's mean and spread, "
        "which is what to beat. After ± stands what chance may add or take away (95 %).</p>"
    )


def _sheets(found: Evaluation, spec: Spec) -> list[str]:
    shown = artefacts.sheet_size(spec)
    drawn = artefacts.sheet(found.samples[:shown], spec, found.real)
    if not is_picture(spec) and spec.kind != "signal":
        return [_picture(drawn, _both(spec))]
    real = artefacts.sheet(found.real[:shown], spec, found.real)
    return [_picture(drawn, "samples of the model"), _picture(real, "real data, never trained on")]


def _both(spec: Spec) -> str:
    """What a picture that shows samples and real data together says of them."""
    if spec.shape == (2,):
        return "real data, never trained on, and samples of the model"
    most = pictures.HISTOGRAMS
    which = f"the first {most} of {spec.dimensions} columns" if spec.dimensions > most else "all columns"
    return f"how often each value occurs in real data, never trained on (grey), and in samples (red): {which}"


def _picture(data: bytes, what: str) -> str:
    shown, encoded = html.escape(what), base64.b64encode(data).decode()
    image = f'<img alt="{shown}" src="data:image/png;base64,{encoded}">'
    return f"<figure>{image}<figcaption>{shown}</figcaption></figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already; on a narrow screen every row becomes a list of its own."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    names = [f' data-head="{html.escape(name)}"' if name else "" for name in head]
    body = "".join(
        "<tr>" + "".join(f"<td{name}>{cell}</td>" for name, cell in zip(names, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _measures(numbers: dict[str, Any]) -> str:
    rows = []
    for name, m in numbers["measures"].items():
        called, meaning = MEANING[name]
        rows.append(
            [
                f"<b>{html.escape(called)}</b><small>{html.escape(meaning)}</small>",
                f"{m['value']:.4g} ± {1.96 * m['error']:.2g}",
                f"{m['floor']:.4g} ± {1.96 * m['floor_error']:.2g}",
                f"{m['baseline']:.4g}",
                _scale(m),
            ]
        )
    return _table(HEAD, rows)


def _scale(m: dict[str, float]) -> str:
    """Where the samples stand between real data and the Gaussian fit; a dash where those two cannot be told apart."""
    span = m["baseline"] - m["floor"]
    if abs(span) <= 1.96 * m["floor_error"]:
        return "–"
    place = min(1.0, max(0.0, (m["value"] - m["floor"]) / span))
    return f'<div class="scale"><i style="left:{95 * place:.0f}%"></i></div>'


def _columns(numbers: dict[str, Any]) -> list[str]:
    columns = numbers["columns"]
    if columns is None:
        return []
    rows = []
    for c in columns["table"]:
        off = " (off)" if c["distance"] > max(columns["chance"], 1.5 * c["floor"]) else ""
        beside = [f"{c[k]:.4g} / {c['real_' + k]:.4g}" for k in ("mean", "spread")]
        rows.append([f"<b>{html.escape(c['name'])}</b>", *beside, f"{c['distance']:.3f}{off}", f"{c['floor']:.3f}"])
    said = (
        "<p>Take any value: a share of the samples lies below it, and a share of the real data. How far these shares "
        "are apart, where they are furthest apart, is a column's difference: 0 for like columns, 1 for columns that "
        f"share nothing. By chance alone it reaches {columns['chance']:.3f} once in a thousand. The correlation of two "
        f"columns is off by {columns['correlation']:.3f} at most; in real data that take the samples' place, by "
        f"{columns['correlation_floor']:.3f}.</p>"
    )
    head = ["", "mean: samples / real", "spread: samples / real", "difference", "of real data"]
    return ["<h2>Column by column</h2>", said, _table(head, rows)]


def _memory(found: Evaluation, spec: Spec) -> list[str]:
    copies = found.numbers["copies"]
    if copies is None:
        return []
    parts = [
        f"<h2>Does it copy?</h2><p>{_percent(copies['samples'])} of the samples come closer to a training example than "
        f"training examples come to one another (but for the closest 1 %); of held-out data, which cannot be copies, "
        f"{_percent(copies['held_out'])} do.</p>"
    ]
    if is_picture(spec):
        both = torch.cat(found.pairs)
        sheet = pictures.png(pictures.grid(to_picture(both, spec), columns=len(found.pairs[0])))
        parts.append(_picture(sheet, "the closest pairs: samples above, the training examples nearest to them below"))
    return parts


def _labels(numbers: dict[str, Any]) -> list[str]:
    if not numbers["labels"]:
        return []
    said = (
        "<p>A small classifier that knows real data names the label of each example. Of samples: how often it is the "
        "label that was asked for; of held-out data: how often it is their own, more than which cannot be expected.</p>"
    )
    rows = [
        [f"<b>{html.escape(name)}</b>", _percent(share["samples"]), _percent(share["real"])]
        for name, share in numbers["labels"].items()
    ]
    return ["<h2>Is it what was asked for?</h2>", said, _table(["label", "samples", "real data"], rows)]


def _likelihood(numbers: dict[str, Any]) -> list[str]:
    bits, curve, parts = numbers["bits_per_dim"], numbers["losses"], ["<h2>What it knows of data it never saw</h2>"]
    if bits:
        parts.append(f"<p>{_bits(bits)}</p>")
    if curve:
        names = {
            "train": "training examples",
            "held_out": "held-out data",
            "best_on_train": "best possible, knowing the training set",
        }
        across = [row["t"] for row in curve]
        series = {text: (across, [row[key] for row in curve]) for key, text in names.items() if key in curve[0]}
        drawn = pictures.render(pictures.curves(series, x="t (0 = data, 1 = noise)", y="loss"))
        parts.append(
            _picture(
                drawn,
                "the loss by amount of noise; on training examples well below held-out data, and near the best "
                "possible for someone who knows the training set by heart, is memory",
            )
        )
    return parts if len(parts) > 1 else []


def _bits(bits: dict[str, Any]) -> str:
    """What held-out data cost, beside what they would cost someone who knows no more than their range or spread."""
    cost = f"{bits['value']:.3f} ± {1.96 * bits['error']:.2g} bits a number"
    how = f"({bits['examples']} examples, method {bits['method']})"
    if bits["levels"]:
        return (
            f"To name a held-out example exactly costs {cost}, where a blind guess among {bits['levels']} levels costs "
            f"{math.log2(bits['levels']):.3g} {how}. Lower is better."
        )
    return (
        f"Held-out data cost {cost} {how}. Lower is better. These data have no levels, so the cost is minus the "
        "logarithm of a density, which can be below zero: an independent normal number of variance 1, to which each "
        f"channel is scaled, costs {NORMAL:.2f} bits."
    )


def _cost(numbers: dict[str, Any]) -> str:
    speed = (
        f"{1000 * numbers['seconds_per_sample']:.3g} ms a sample (in the quickest batch, on the machine of this report)"
    )
    memory = f"{numbers['peak_bytes'] / 1e9:.2g} GB of memory at the peak of this report"
    return f"<h2>What it costs</h2><p>{numbers['parameters']:,} parameters; {speed}; {memory}.</p>"


def _features(numbers: dict[str, Any]) -> str:
    name = numbers["features"]
    return (
        f"<p>Examples are compared by {html.escape(FEATURES[name])} (features “{html.escape(name)}”): numbers from "
        f"other features, or from other counts of samples, do not compare with these. Seed {numbers['seed']}.</p>"
    )
