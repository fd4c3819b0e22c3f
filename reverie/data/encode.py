"""Pixels → the bytes of a PNG or TIFF file of the same depth and channels, without loss.

Pillow writes what it can hold. It cannot hold 16 bits a channel in colour or with alpha; these PNGs are put together
here: signature, IHDR, IDAT (zlib, filter 0 on every row, big-endian), IEND.
Reference: Portable Network Graphics, W3C Recommendation (3rd ed.), §11.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from reverie.core.errors import UserError

COLOURS = {"LA;16": 4, "RGB;16": 2, "RGBA;16": 6}  # PNG's number of the colour type
PLAIN = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
DEEP = {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}


def mode_of(pixels: np.ndarray, mode: str = "") -> str:
    """The mode in which these pixels (H, W) or (H, W, C) are written. Raises UserError if no picture holds them."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if mode:
        return mode
    if pixels.dtype == np.bool_ and channels == 1:
        return "1"
    if pixels.dtype == np.uint8 and channels in PLAIN:
        return PLAIN[channels]
    if pixels.dtype == np.uint16 and channels in DEEP:
        return DEEP[channels]
    if pixels.dtype in (np.float32, np.int32) and channels == 1:
        return "F" if pixels.dtype == np.float32 else "I"
    raise UserError(f"{channels} channels of {pixels.dtype} fit no picture file; save as npy")


def encode_picture(pixels: np.ndarray, format: str, mode: str = "") -> bytes:
    """The file of one picture: `format` is "png" or "tiff", `mode` as in `decode` (found out if not given)."""
    mode = mode_of(pixels, mode)
    if mode == "LA;16" and format == "tiff":
        raise UserError("grey with alpha of 16 bits is not written as TIFF; save as png")
    if mode in COLOURS:
        return encode_tiff(pixels) if format == "tiff" else deep_png(pixels, mode)
    if mode == "1":
        image = Image.fromarray(pixels.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE)
    elif mode == "CMYK":
        image = Image.fromarray(np.ascontiguousarray(pixels), "CMYK")
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels))
    out = io.BytesIO()
    image.save(out, "TIFF" if format == "tiff" else "PNG")
    return out.getvalue()


def deep_png(pixels: np.ndarray, mode: str) -> bytes:
    """A PNG of 16 bits a channel."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.concatenate((np.zeros((height, 1), np.uint8), rows), 1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, COLOURS[mode], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode_tiff(pixels: np.ndarray) -> bytes:
    """A little-endian TIFF, one plain strip, 16 bits a channel, the fourth being alpha (TIFF 6.0, §2)."""
    height, width, channels = pixels.shape
    body = np.ascontiguousarray(pixels, "<u2").tobytes()
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 0), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 2), (273, 4, 1, 0), (277, 3, 1, channels), (278, 4, 1, height)]
    entries += [(279, 4, 1, len(body)), (284, 3, 1, 1)] + ([(338, 3, 1, 2)] if channels == 4 else [])
    depths = 8 + 2 + 12 * len(entries) + 4  # where the list of depths lies, behind the directory
    start = depths + 8
    packed = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag, kind, count, value in entries:
        if tag == 258:
            value = depths
        packed += struct.pack("<HHII", tag, kind, count, start if tag == 273 else value)
    return packed + struct.pack("<I", 0) + struct.pack("<4H", 16, 16, 16, 16) + body
