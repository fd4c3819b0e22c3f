"""Many images in one: rows and columns on a quiet background, enlarged by whole pixels so that small ones are seen."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
BACKGROUND = 238
SIDE = 900  # pixels that a grid aims at


def grid(images: Pixels, *, columns: int = 0, gap: int = 1, zoom: int = 0) -> Pixels:
    """Images (N, H, W, 3) as one picture, row by row; about square unless `columns` says otherwise.

    `zoom` is the whole number each pixel is enlarged by; 0 chooses one that makes the picture easy to look at.
    """
    count, height, width = images.shape[:3]
    columns = columns or math.ceil(math.sqrt(count * height / width))
    rows = math.ceil(count / columns)
    zoom = zoom or max(1, round(SIDE / max(columns * width, rows * height)))
    gap *= max(2, zoom // 2)
    high, wide = height * zoom, width * zoom
    canvas = np.full((rows * (high + gap) + gap, columns * (wide + gap) + gap, 3), BACKGROUND, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + (i // columns) * (high + gap), gap + (i % columns) * (wide + gap)
        canvas[top : top + high, left : left + wide] = image.repeat(zoom, 0).repeat(zoom, 1)
    return canvas


def filmstrip(frames: list[Pixels], *, gap: int = 1) -> Pixels:
    """Moments of a trajectory side by side: each frame is (N, H, W, 3), each example a row, time from left to right."""
    together = np.stack(frames, 1)
    return grid(together.reshape(-1, *together.shape[2:]), columns=len(frames), gap=gap)


def png(pixels: Pixels) -> bytes:
    """The picture (H, W, 3) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pixels(data: bytes) -> Pixels:
    """The picture (H, W, 3) in a PNG file that `png` or `render` made."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))
