"""One picture file → its pixels as they are stored: depth, channels and alpha kept, EXIF orientation obeyed.

Pillow decodes, of the formats in FORMATS only; sizes are checked on the header before any pixel is decoded. What Pillow
would cut to 8 bits (48-bit colour, 16-bit grey with alpha) is decoded twice, high and low bytes, and put together.
The first frame of an animation is used. Nothing is resized or converted here except palettes, which become colours.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from reverie.data.limits import EXPANSION, LARGE, MIB, PIXELS, TEXT, Unreadable

# Pillow warns of what is checked or said here anyway; a context manager would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Image.init()  # registers every format now: doing it on demand is not safe in threads
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
MODES = {  # Pillow's mode as opened → the mode that is kept
    "1": "1",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "CMYK",
    "I;16": "I;16",
    "I;16B": "I;16",
    "I;16L": "I;16",
    "I;16N": "I;16",
    "I": "I",
    "F": "F",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
}
PNG = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
DEEP = {"RGB;16B": ("RGB", "RGB;16L"), "RGBA;16B": ("RGBA", "RGBA;16L"), "LA;16B": ("RGBA", "RGBA")}
DEEP |= {"RGB;16L": ("RGB", "RGB;16B"), "RGBA;16L": ("RGBA", "RGBA;16B")}
QUARTERS = {1: (0, 0), 2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 1), 6: (0, 3), 7: (1, 3), 8: (0, 1)}


@dataclass(frozen=True)
class Head:
    """What a picture's header says: Pillow's format, mode as opened and as kept, size upright (width, height)."""

    format: str
    opened: str
    mode: str
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """Pixels (H, W) or (H, W, C) as stored in the file, upright, in mode `head.mode`."""

    pixels: np.ndarray
    head: Head


def read_head(data: bytes) -> Head:
    """The header alone, within limits. Raises Unreadable with the reason."""
    with _opened(data) as image:
        return _head(image, data)


def read_picture(data: bytes) -> Picture:
    """The whole picture. Raises Unreadable with the reason."""
    with _opened(data) as image:
        head = _head(image, data)
        try:
            pixels = upright(_pixels(image, data, head), _orientation(image))
        except Unreadable:
            raise
        except MemoryError:
            raise Unreadable("not enough memory to decode it") from None
        except Exception as error:  # decoders raise whatever they like on damaged files
            raise Unreadable(f"damaged: {_first_line(error)}") from error
    return Picture(np.ascontiguousarray(pixels), head)


def _opened(data: bytes) -> Image.Image:
    if not data:
        raise Unreadable("empty file (0 bytes)")
    if data.startswith(PNG):
        data = _lean_png(data)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Unreadable(what_instead(data)) from None
    except Image.DecompressionBombError:
        raise Unreadable(f"too large: its header declares more than {PIXELS // 10**6} megapixels") from None
    except Exception as error:
        raise Unreadable(f"damaged header: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:120]


def what_instead(data: bytes) -> str:
    """Why bytes are no picture: what they look like instead."""
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "not a picture but an HTML page (a failed download?)"
    if start.startswith((b"<svg", b"<?xml")) and b"<svg" in start:
        return "a vector drawing (SVG); draw it to pixels first"
    for magic, name in ((b"%pdf", "a PDF document"), (b"%!ps", "a PostScript document"), (b"simple  =", "a FITS file")):
        if start.startswith(magic):
            return f"not a picture but {name}"
    if data[:2] in (b"\xff\xd8", b"BM", b"II", b"MM") or data.startswith((PNG, b"RIFF", b"GIF8")):
        return "damaged: the header is cut off or broken"
    sample = data[:512]
    if all(32 <= b < 127 or b in b"\t\r\n" for b in sample):
        return "not a picture but text"
    return "not a picture of a known format"


def _head(image: Image.Image, data: bytes) -> Head:
    width, height = image.size
    if width * height > PIXELS:
        raise Unreadable(f"too large: {width}×{height} pixels; at most {PIXELS // 10**6} megapixels are read")
    if width < 1 or height < 1:
        raise Unreadable(f"damaged header: {width}×{height} pixels")
    unpacked = width * height * 4
    if unpacked > LARGE and unpacked > EXPANSION * len(data):
        raise Unreadable(f"looks like a decompression bomb: {width}×{height} pixels in {len(data) / MIB:.2g} MiB")
    mode, notes = _kept(image), []
    if image.mode in ("P", "PA"):
        notes.append("palette turned into colours")
    if _raw_mode(image) in DEEP:  # grey with alpha of 16 bits is opened as RGBA
        mode = "LA;16" if _raw_mode(image) == "LA;16B" else f"{mode};16"
    if _is_animated(image):
        notes.append("animation or several pages: the first is used")
        if image.format == "GIF" and not data.rstrip(b"\0").endswith(b";"):
            notes.append("cut off after the first frame")
    orientation = _orientation(image)
    if orientation != 1:
        notes.append("turned upright as its EXIF orientation says")
    if image.format == "PNG" and not _sums_agree(data):
        notes.append("wrong checksum, but the pixels read")
    size = (height, width) if orientation >= 5 else (width, height)
    return Head("JPEG" if image.format == "MPO" else str(image.format), image.mode, mode, size, tuple(notes))


def _kept(image: Image.Image) -> str:
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    if image.mode == "PA":
        return "RGBA"
    if image.mode in ("L", "RGB", "1") and "transparency" in image.info:
        return "RGBA" if image.mode == "RGB" else "LA"
    if image.mode not in MODES:
        raise Unreadable(f"colour mode {image.mode} is not supported; convert it to RGB")
    return MODES[image.mode]


def _raw_mode(image: Image.Image) -> str:
    """The decoder's input format of the first tile, such as "RGB;16B"."""
    tile = getattr(image, "tile", None)
    if not tile:
        return ""
    arguments = tile[0][3]
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # asking a damaged file for its second frame may raise anything; the first is still good
        return True


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation. A PNG is only asked if it has one: Pillow would decode it in search of it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value = int(image.getexif().get(0x0112, 1))
    except Exception:  # a damaged EXIF block does not make the pixels unreadable
        return 1
    return value if value in QUARTERS else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation 1 … 8: a mirror and quarter turns of axes 0 and 1."""
    mirror, turns = QUARTERS[orientation]
    return np.rot90(pixels[:, ::-1] if mirror else pixels, turns)


def _pixels(image: Image.Image, data: bytes, head: Head) -> np.ndarray:
    if head.mode.endswith(";16") and head.mode != "I;16":
        return _deep(image, data)
    image.load()
    target = head.mode
    if image.mode != target and not (target == "I;16" and image.mode.startswith("I;16")):
        image = image.convert(target)
    pixels = np.asarray(image)
    if target == "1":
        return pixels.astype(np.uint8)
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _deep(image: Image.Image, data: bytes) -> np.ndarray:
    """16 bits a channel: Pillow's own pass gives the high bytes, a second one with the other byte order the low."""
    raw = _raw_mode(image)
    mode, other = DEEP[raw]
    if raw == "LA;16B":  # four bytes a pixel, read as RGBA: grey high and low, alpha high and low
        both = np.asarray(_retiled(image, mode, other)).astype(np.uint16)
        return np.stack((both[..., 0] << 8 | both[..., 1], both[..., 2] << 8 | both[..., 3]), -1)
    with _opened(data) as again:
        low = np.asarray(_retiled(again, mode, other)).astype(np.uint16)
    image.load()
    return np.asarray(image).astype(np.uint16) << 8 | low


def _retiled(image: Image.Image, mode: str, raw: str) -> Image.Image:
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]
        arguments = (raw, *tile[3][1:]) if isinstance(tile[3], tuple) else raw
        tiles.append(tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments))
    image.tile = tiles  # type: ignore[attr-defined]
    image._mode = mode  # type: ignore[attr-defined]
    image.load()
    return image


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """The chunks of a PNG as (type, start, end) of the whole chunk, as far as they are complete."""
    found, at = [], len(PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        found.append((data[at + 4 : at + 8], at, end))
        at = end
    return found


def _lean_png(data: bytes) -> bytes:
    """The PNG without text and profiles if these are large or many: they are not pixels, and may be bombs."""
    chunks = _chunks(data)
    texts = [(start, end) for kind, start, end in chunks if kind in TEXTS]
    if len(texts) < 64 and all(end - start < TEXT // 16 for start, end in texts):
        return data
    kept = [data[start : min(end, len(data))] for kind, start, end in chunks if kind not in TEXTS]
    return b"".join((PNG, *kept))


def _sums_agree(data: bytes) -> bool:
    """Whether the checksum of every complete chunk is right."""
    for kind, start, end in _chunks(data):
        if end <= len(data) and struct.unpack_from(">I", data, end - 4)[0] != zlib.crc32(data[start + 4 : end - 4]):
            return False
        if kind == b"IEND":
            break
    return True
