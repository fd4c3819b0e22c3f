"""Pictures: grids of images, filmstrips, clouds of points, lines and curves, as PNG bytes."""

from reverie.pictures.grid import filmstrip, grid, pixels, png
from reverie.pictures.plots import clouds, curves, histograms, lines, render

__all__ = ["clouds", "curves", "filmstrip", "grid", "histograms", "lines", "pixels", "png", "render"]
