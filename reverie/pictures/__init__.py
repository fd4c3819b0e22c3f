"""Pictures: grids of images, filmstrips, clouds of points, lines and curves, as PNG bytes."""

from reverie.pictures.grid import filmstrip, grid, pixels, png
from reverie.pictures.plots import HISTOGRAMS, Mark, clouds, curves, fronts, histograms, lines, render, writing

__all__ = [
    "HISTOGRAMS",
    "Mark",
    "clouds",
    "curves",
    "filmstrip",
    "fronts",
    "grid",
    "histograms",
    "lines",
    "pixels",
    "png",
    "render",
    "writing",
]
