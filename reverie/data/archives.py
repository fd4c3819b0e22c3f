"""The members of zip and tar archives, read one by one without unpacking; nothing they say about themselves is trusted.

Names that leave the archive, links, devices, encrypted members and what expands beyond reason are refused by name. Tar
files are indexed here and not by a library, so that a member can be read at random and no header is obeyed.
Reference: POSIX.1-2001 pax interchange format; PKWARE APPNOTE.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from reverie.core.errors import BAD_DATA, UserError
from reverie.data.limits import (
    EXPANSION,
    FILE,
    LARGE,
    MEMBERS,
    MIB,
    Unreadable,
    budget,
    escapes,
    gunzip,
    members,
    open_regular,
)
from reverie.data.report import Report
from reverie.data.sources import Item, shown_name, system_reason


def archive_items(path: Path, report: Report, prefix: str = "") -> list[Item]:
    """The members of a zip or tar archive (tar also gzipped, if it fits in memory)."""
    with open_regular(path) as file:
        start = file.read(4)
    if start[:2] == b"PK":
        return _zip_items(path, report, prefix)
    if start[:2] == b"\x1f\x8b":
        blob = gunzip(path, budget())
        return _tar_items(len(blob), lambda at, size: blob[at : at + size], report, prefix, str(path))
    return _tar_items(path.stat().st_size, _Slices(path).read, report, prefix, str(path))


class _Slices:
    """Reads pieces of one file from several threads."""

    def __init__(self, path: Path) -> None:
        self.file = open_regular(path)

    def read(self, at: int, size: int) -> bytes:
        return os.pread(self.file.fileno(), size, at)


def _zip_items(path: Path, report: Report, prefix: str) -> list[Item]:
    try:
        archive = zipfile.ZipFile(path)
        infos = members(archive, str(path))
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, EOFError) as error:
        raise UserError(f"'{path}' is a damaged zip archive: {error}", code=BAD_DATA) from error
    claimed, packed = sum(i.file_size for i in infos), path.stat().st_size
    if claimed > 16 * LARGE and claimed > EXPANSION * packed:
        raise UserError(
            f"'{path}' claims to unpack to {claimed / MIB:,.0f} MiB, {claimed // packed} times its size; "
            "it looks like a bomb",
            code=BAD_DATA,
        )
    items: list[Item] = []
    for info in sorted(infos, key=lambda i: i.filename):
        report.found += 1
        reason = system_reason(info.filename) or _zip_reason(info)
        name = shown_name(prefix + info.filename)
        if not reason:
            items.append(Item(name, info.file_size, _zip_reader(archive, info)))
        elif system_reason(info.filename):
            report.ignore(name, reason)
        else:
            report.refuse(name, reason)
    return items


def _zip_reason(info: zipfile.ZipInfo) -> str:
    if escapes(info.filename):
        return "its name leaves the archive's folder"
    if info.flag_bits & 1:
        return "encrypted"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "link inside an archive; not followed"
    if info.file_size > FILE:
        return f"{info.file_size / MIB:,.0f} MiB in one file; at most {FILE // MIB} are read"
    if info.file_size > LARGE and info.file_size > EXPANSION * max(info.compress_size, 1):
        return f"looks like a decompression bomb: expands {info.file_size // max(info.compress_size, 1)} times"
    return ""


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with archive.open(info) as file:
                return file.read(FILE)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise Unreadable(f"damaged in the archive: {error}") from error

    return read


def _tar_items(size: int, read: Callable[[int, int], bytes], report: Report, prefix: str, where: str) -> list[Item]:
    """Index of a tar: (offset, size) of each regular member. Long names (GNU, pax) are followed, links are not."""
    items: list[Item] = []
    at, long_name = 0, ""
    while at + 512 <= size and len(items) < MEMBERS:
        block = read(at, 512)
        if not block.strip(b"\0"):
            break
        name, length, kind = _tar_header(block, where)
        body, at = at + 512, at + 512 + (length + 511) // 512 * 512
        if kind in b"Lxg":
            if length > MIB:
                raise UserError(
                    f"'{where}' has a header of {length:,} bytes, which looks like an attack", code=BAD_DATA
                )
            found = _long_name(read(body, length), kind)
            long_name = found or long_name
            continue
        name, long_name = long_name or name, ""
        if kind == b"5":
            continue
        report.found += 1
        label = shown_name(prefix + name.removeprefix("./"))
        reason = _tar_reason(name, kind, length, size - body)
        if system_reason(name.removeprefix("./")):
            report.ignore(label, system_reason(name.removeprefix("./")))
        elif reason:
            report.refuse(label, reason)
        else:
            items.append(Item(label, length, _tar_reader(read, body, length)))
    return sorted(items, key=lambda item: item.name)


def _tar_header(block: bytes, where: str) -> tuple[str, int, bytes]:
    """(name, size, type) of a 512-byte header, its checksum verified."""
    try:
        total = sum(block) - sum(block[148:156]) + 8 * 32
        if int(block[148:156].strip(b" \0") or b"0", 8) != total:
            raise ValueError("wrong header checksum")
        raw = block[124:136]
        length = int.from_bytes(raw[1:], "big") if raw[0] & 0x80 else int(raw.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise UserError(f"'{where}' is a damaged tar archive: {error}", code=BAD_DATA) from error
    name = block[:100].split(b"\0")[0]
    front = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    full = front + b"/" + name if front else name
    return full.decode("utf-8", "surrogateescape"), length, block[156:157]


def _long_name(body: bytes, kind: bytes) -> str:
    if kind == b"L":
        return body.split(b"\0")[0].decode("utf-8", "surrogateescape")
    for line in body.split(b"\n"):
        key, _, value = line.partition(b" ")[2].partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "surrogateescape")
    return ""


def _tar_reason(name: str, kind: bytes, length: int, left: int) -> str:
    if kind not in (b"0", b"\0", b"7"):
        words = {b"1": "link", b"2": "link", b"3": "device", b"4": "device", b"6": "pipe", b"S": "sparse file"}
        return f"{words.get(kind, 'special file')} inside an archive; never opened"
    if escapes(name):
        return "its name leaves the archive's folder"
    if length > FILE:
        return f"{length / MIB:,.0f} MiB in one file; at most {FILE // MIB} are read"
    return "cut off: the archive ends before it" if length > left else ""


def _tar_reader(read: Callable[[int, int], bytes], at: int, size: int) -> Callable[[], bytes]:
    return lambda: read(at, size)
