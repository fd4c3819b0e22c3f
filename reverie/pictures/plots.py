"""Curves, clouds and histograms by matplotlib, drawn without a display and returned as PNG bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Numbers = NDArray[np.floating]
HISTOGRAMS = 16  # columns shown
INK, ACCENT, QUIET = "#1f4e79", "#d1495b", "#9aa5b1"
COLOURS = (INK, ACCENT, QUIET, "#3a7d44", "#b7791f", "#6b4c9a")


def render(figure: Figure, *, dpi: int = 110) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    title: str = "",
    smooth: bool = False,
) -> Figure:
    """Lines (x, y) by name. `smooth` draws a long, noisy one as a running mean over a faint original.

    The vertical axis is logarithmic where all values are positive and span more than a factor of 20.
    """
    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for k, (name, (across, up)) in enumerate(series.items()):
        colour = COLOURS[k % len(COLOURS)]
        noisy = smooth and len(up) > 100
        if noisy:
            axes.plot(across, up, color=colour, alpha=0.2, linewidth=0.7)
            width = max(3, len(up) // 50)
            weights = np.ones(width)
            level = np.convolve(up, weights, "same") / np.convolve(np.ones(len(up)), weights, "same")
            axes.plot(across, level, color=colour, label=name)
        else:
            axes.plot(across, up, color=colour, label=name, marker="o" if len(up) < 30 else "", markersize=4)
    finite = np.concatenate([np.asarray(up, float) for _, up in series.values()] or [np.ones(1)])
    finite = finite[np.isfinite(finite)]
    if finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
        axes.set_yscale("log")
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.grid(alpha=0.25)
    if len(series) > 1:
        axes.legend(frameon=False)
    return figure


def clouds(panels: Mapping[str, Numbers], *, limit: float = 0.0, columns: int = 0) -> Figure:
    """Points (N, 2) by panel name, all on the same axes; `limit` > 0 fixes them to [−limit, limit]."""
    columns = columns or min(5, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure((3.2 * columns, 3.4 * rows), layout="constrained")
    every = list(panels.values())
    if not limit:
        limit = 1.1 * float(np.percentile(np.abs(every[0][np.isfinite(every[0]).all(1)]), 99.5))
    for axes, (name, points) in zip(figure.subplots(rows, columns, squeeze=False).flat, panels.items(), strict=False):
        axes.scatter(
            points[:, 0], points[:, 1], s=max(1.0, 3000 / max(len(points), 1)), color=INK, alpha=0.5, linewidths=0
        )
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), title=name, aspect="equal")
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def lines(signals: Numbers, *, titles: Sequence[str] = (), columns: int = 4, rate: float = 0.0) -> Figure:
    """Signals (N, C, L), one small panel each, all on the same axes: against seconds at `rate` values a second, or
    against their places where that is not known.
    """
    count = len(signals)
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure((3 * columns, 1.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for k, axes in enumerate(panels.flat):
        if k >= count:
            axes.set_axis_off()
            continue
        for channel, values in enumerate(signals[k]):
            across = np.arange(len(values)) / (rate or 1.0)
            axes.plot(across, values, linewidth=0.9, color=(INK, ACCENT, QUIET)[channel % 3])
        if k < len(titles):
            axes.set_title(titles[k], fontsize=8)
        axes.tick_params(labelsize=7)
    figure.supxlabel("seconds" if rate else "place in the signal", fontsize=8)
    figure.supylabel("value", fontsize=8)
    return figure


def writing(texts: Sequence[str]) -> Figure:
    """Lines of text, one under the other."""
    figure = Figure((max(3.0, 0.085 * max(map(len, texts))), 0.22 * len(texts) + 0.1))
    for k, text in enumerate(texts):
        down = 1 - (k + 0.7) / (len(texts) + 0.4)
        figure.text(0.01, down, text, family="monospace", fontsize=9, color=INK, parse_math=False)
    return figure


def histograms(samples: Numbers, reference: Numbers, names: Sequence[str], *, columns: int = 4) -> Figure:
    """The marginal of each column of samples (N, D) beside that of the data (M, D)."""
    shown = min(len(names), HISTOGRAMS)
    columns = min(columns, shown)
    rows = math.ceil(shown / columns)
    figure = Figure((3 * columns, 2.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for k, axes in enumerate(panels.flat):
        if k >= shown:
            axes.set_axis_off()
            continue
        low, high = np.percentile(reference[:, k], (0.5, 99.5))
        edges = np.linspace(low, high if high > low else low + 1, 31)
        axes.hist(
            np.clip(reference[:, k], edges[0], edges[-1]), edges, density=True, color=QUIET, alpha=0.7, label="data"
        )
        axes.hist(
            np.clip(samples[:, k], edges[0], edges[-1]),
            edges,
            density=True,
            histtype="step",
            color=ACCENT,
            label="samples",
        )
        axes.set_title(names[k], fontsize=8)
        axes.tick_params(labelsize=7)
    figure.axes[0].legend(frameon=False, fontsize=7)
    return figure


@dataclass(frozen=True)
class Mark:
    """A point (across, up) of a series; `front` if no other is better in all respects."""

    series: str
    across: float
    up: float
    label: str
    front: bool


def fronts(panels: Mapping[str, Sequence[Mark]], *, x: str) -> Figure:
    """One panel of marks for each quantity, over costs on a logarithmic axis; the front is filled, named and joined."""
    figure = Figure((7, 3.2 * len(panels)), layout="constrained")
    for axes, (name, marks) in zip(figure.subplots(len(panels), squeeze=False).flat, panels.items(), strict=True):
        for k, series in enumerate(dict.fromkeys(mark.series for mark in marks)):
            own, colour = [m for m in marks if m.series == series], COLOURS[k % len(COLOURS)]
            axes.scatter(
                [m.across for m in own],
                [m.up for m in own],
                s=[45 if m.front else 25 for m in own],
                facecolors=[colour if m.front else "none" for m in own],
                edgecolors=colour,
                marker="os^Dv*"[k % 6],
                label=series,
            )
        best = sorted((m for m in marks if m.front), key=lambda m: m.across)
        axes.plot([m.across for m in best], [m.up for m in best], color=QUIET, linewidth=1, zorder=0)
        for mark in best:
            axes.annotate(mark.label, (mark.across, mark.up), xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.set(xscale="log", xlabel=x, ylabel=name)
        axes.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure
