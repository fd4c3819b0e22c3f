"""How pictures of a set become alike, if they are not: one colour space, one depth, one size, each said.

Pictures that agree are left as they are. Mixed ones become the smallest colour space that holds them all; transparency
is kept if most have it and otherwise laid on white; depth is that of most. Mixed sizes are scaled to cover one size and
cut at the centre. Nothing is ever mirrored or turned.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reverie.core.errors import UserError, unknown
from reverie.data.decode import Head, Picture
from reverie.data.limits import Unreadable

WIDEST = 64  # side that mixed sizes are fitted to, unless they are smaller or --size says otherwise
CHANNELS = {"1": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1, "I": 1, "F": 1}
CHANNELS |= {"LA;16": 2, "RGB;16": 3, "RGBA;16": 4}
ASKED = ("L", "LA", "RGB", "RGBA")
LUMA = (19595, 38470, 7471)  # of R, G, B in 65536ths (ITU-R 601-2), as Pillow has them


@dataclass(frozen=True)
class Plan:
    """What every picture of a set is turned into: mode, and (height, width); `fits` if sizes differ from it."""

    mode: str
    size: tuple[int, int]
    fits: bool = False

    @property
    def dtype(self) -> np.dtype:
        names = {"I": "int32", "F": "float32"}
        return np.dtype("uint16" if self.mode.endswith(";16") else names.get(self.mode, "uint8"))

    @property
    def shape(self) -> tuple[int, ...]:
        channels = CHANNELS[self.mode]
        return self.size if channels == 1 else (*self.size, channels)

    def apply(self, picture: Picture) -> np.ndarray:
        """The pixels as the set has them. Raises Unreadable if a size changed that was not to be fitted."""
        pixels = picture.pixels
        if not self.fits and pixels.shape[:2] != self.size:
            raise Unreadable(f"its size has become {pixels.shape[1]}×{pixels.shape[0]}")
        pixels = convert(pixels, picture.head.mode, self.mode)
        return np.ascontiguousarray(fit(pixels, self.size, self.mode))


def choose(heads: Sequence[Head], *, size: tuple[int, int] | None = None, mode: str = "") -> tuple[Plan, list[str]]:
    """The plan for pictures with these headers, and what it changes, in words."""
    notes: list[str] = []
    modes, sizes = Counter(h.mode for h in heads), Counter((h.size[1], h.size[0]) for h in heads)
    if mode and mode not in ASKED:
        raise unknown("colour mode", mode, ASKED)
    target = (mode if not _deep(modes) else f"{mode};16".replace("L;16", "I;16")) if mode else common_mode(modes)
    if set(modes) != {target}:
        listed = ", ".join(name for name, _ in modes.most_common())
        notes.append(f"colour modes differ from {target} ({listed}): converted to {target}")
        alpha = sum(n for m, n in modes.items() if "A" in m)
        if alpha and "A" not in target:
            notes.append(f"transparency of {alpha} laid on white")
    goal = size or common_size(sizes)
    fits = set(sizes) != {goal}
    if fits:
        small = sum(n for (h, w), n in sizes.items() if h < goal[0] or w < goal[1])
        why = "asked for" if size else f"{len(sizes)} different sizes"
        notes.append(
            f"fitted to {goal[1]}×{goal[0]} ({why}): scaled to cover it and cut at the centre"
            + (f"; {small} are enlarged" if small else "")
        )
    return Plan(target, goal, fits), notes


def _deep(modes: Counter[str]) -> bool:
    deep = sum(n for m, n in modes.items() if m.endswith(";16"))
    return 2 * deep > sum(modes.values())


def common_mode(modes: Counter[str]) -> str:
    """The mode that all share, or the one that mixed pictures become."""
    if len(modes) == 1:
        return next(iter(modes))
    colour = any(m.startswith(("RGB", "CMYK")) for m in modes)
    alpha = 2 * sum(n for m, n in modes.items() if "A" in m) > sum(modes.values())
    base = ("RGB" if colour else "L") + ("A" if alpha else "")
    return f"{base};16".replace("L;16", "I;16") if _deep(modes) else base


def common_size(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """The (height, width) all share, or a size for mixed ones: the median shape if all are of one, else a square."""
    if len(sizes) == 1:
        return next(iter(sizes))
    each = [size for size, count in sizes.items() for _ in range(count)]
    short = sorted(min(size) for size in each)[len(each) // 2]
    side = min(WIDEST, short) // 8 * 8 or max(1, short)
    ratios = {round(math.log(h / w), 2) for h, w in sizes}
    if max(ratios) - min(ratios) > 0.03:
        return side, side
    ratio = math.exp(sum(ratios) / len(ratios))
    return (round(side * ratio), side) if ratio >= 1 else (side, round(side / ratio))


def convert(pixels: np.ndarray, mode: str, target: str) -> np.ndarray:
    """Pixels from one kept mode to another: depth first, then colour, then transparency on white."""
    if mode == target:
        return pixels
    if target in ("1", "I", "F", "CMYK"):
        raise Unreadable(f"its colour mode has become {mode}")
    deep = target.endswith(";16")
    top = 65535 if deep else 255
    if mode == "CMYK":
        pixels, mode = np.asarray(Image.fromarray(np.ascontiguousarray(pixels), "CMYK").convert("RGB")), "RGB"
    pixels = _depth(pixels, mode, deep).astype(np.uint32)
    colour, alpha = _split(pixels, "A" in mode)
    wanted = 1 if CHANNELS[target] < 3 else 3
    if "A" in mode and "A" not in target:
        colour = (colour * alpha + top * (top - alpha) + top // 2) // top
    if colour.shape[-1] == 1 and wanted == 3:
        colour = np.repeat(colour, 3, -1)
    elif colour.shape[-1] == 3 and wanted == 1:
        colour = ((colour.astype(np.uint64) * np.array(LUMA, np.uint64)).sum(-1, keepdims=True) + 0x8000) >> 16
    if "A" in target:
        colour = np.concatenate((colour, alpha), -1)
    colour = colour.astype(np.uint16 if deep else np.uint8)
    return colour if colour.shape[-1] > 1 else colour[..., 0]


def _split(pixels: np.ndarray, has_alpha: bool) -> tuple[np.ndarray, np.ndarray]:
    """(colour, alpha), each with a channel axis; alpha full where there is none."""
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    if has_alpha:
        return planes[..., :-1], planes[..., -1:]
    return planes, np.full_like(planes[..., :1], 65535 if pixels.max(initial=0) > 255 else 255)


def _depth(pixels: np.ndarray, mode: str, deep: bool) -> np.ndarray:
    """Values as 8 or 16 bits: 1 bit times full, bytes times 257, 16 bits divided by 257, floats from [0, 1]."""
    if mode == "F":
        top = 1.0 if float(np.nanmax(pixels, initial=0)) <= 1 else 255.0
        unit = np.nan_to_num(pixels.astype(np.float64) / top).clip(0, 1)
        return np.rint(unit * (65535 if deep else 255))
    if mode == "1":
        return pixels.astype(np.uint32) * (65535 if deep else 255)
    if mode.endswith(";16") or mode == "I":
        wide = pixels.astype(np.int64).clip(0, 65535)
        return wide if deep else (wide + 128) // 257
    return pixels.astype(np.uint32) * 257 if deep else pixels


def fit(pixels: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """Scale to cover (height, width), keeping proportions, and cut at the centre; bicubic, alpha-weighted."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    scale = min(height / size[0], width / size[1])
    top, left = (height - size[0] * scale) / 2, (width - size[1] * scale) / 2
    box = (left, top, left + size[1] * scale, top + size[0] * scale)
    if pixels.dtype == np.uint8 and mode != "1":
        image = Image.fromarray(np.ascontiguousarray(pixels), mode)
        return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    scaled = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(planes[..., c], np.float32)).resize(
                size[::-1], Image.Resampling.BICUBIC, box=box
            )
        )
        for c in range(planes.shape[-1])
    ]
    out = np.stack(scaled, -1)
    if pixels.dtype.kind != "f":
        top_value = 1 if mode == "1" else np.iinfo(pixels.dtype).max
        out = np.rint(out).clip(0, top_value).astype(pixels.dtype)
    return out if pixels.ndim == 3 else out[..., 0]


def parse_size(size: int | str | Sequence[int] | None) -> tuple[int, int] | None:
    """`64`, "64", "48x64" (height × width) or (48, 64) → (height, width)."""
    if size is None or size == "":
        return None
    try:
        parts = (
            [int(n) for n in str(size).lower().replace("×", "x").split("x")]
            if isinstance(size, (int, str))
            else list(size)
        )
    except ValueError:
        parts = []
    if len(parts) not in (1, 2) or any(n < 1 or n > 8192 for n in parts):
        raise UserError(f"size must be a whole number such as 64, or HEIGHTxWIDTH such as 48x64, not '{size}'")
    return (parts[0], parts[-1])
