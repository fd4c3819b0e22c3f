"""Where files come from: a folder, a zip or a tar archive, read member by member without unpacking.

Every entry found is counted and becomes an `Item`, or is skipped with a reason. Links that lead out of the folder,
pipes, devices and sockets are never opened; members whose names leave their archive are refused; nothing is written.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    kind_of,
    members,
    open_regular,
    read_regular,
)
from reverie.data.report import Report

PICTURES = {
    "png",
    "apng",
    "jpg",
    "jpeg",
    "jpe",
    "jfif",
    "webp",
    "bmp",
    "gif",
    "tif",
    "tiff",
    "avif",
    "pgm",
    "ppm",
    "pnm",
    "pbm",
    "mpo",
}
ARRAYS = {"npy"}
SOUNDS = {"wav"}
TABLES = {"csv", "tsv", "jsonl"}
SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"}
SIDE = {"cls", "json", "txt"}  # beside a picture of the same stem in the webdataset layout
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
DEEPEST = 100


@dataclass(frozen=True)
class Item:
    """One file by its name within the source, and how to get its bytes (raises Unreadable)."""

    name: str
    size: int
    read: Callable[[], bytes]

    @property
    def suffix(self) -> str:
        base = self.name.rsplit("/", 1)[-1]
        return base.rsplit(".", 1)[-1].lower() if "." in base.lstrip(".") else ""


def shown_name(name: str) -> str:
    """A file name that can be printed and stored: undecodable bytes and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() or c in "\u200d\ufe0f" else c.encode("unicode_escape").decode() for c in text)


def is_picture(start: bytes) -> bool:
    """Whether a file begins like a picture that can be read, whatever its name."""
    return start.startswith(MAGIC) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP") or start[4:12] == b"ftypavif"


def folder_items(root: Path, report: Report) -> list[Item]:
    """The files under a folder, sorted by name; what is skipped goes into the report with its reason."""
    inside = os.path.realpath(root)
    items: list[Item] = []
    for entry, name in _walk(root, "", 0, report):
        report.found += 1
        label = shown_name(name)
        reason = _system(name)
        if reason:
            report.ignore(label, reason)
            continue
        data = Item(name, 0, bytes).suffix in PICTURES | ARRAYS | SOUNDS
        try:
            size = _accept(entry, inside)
        except Unreadable as why:
            (report.refuse if data else report.ignore)(label, str(why))
            continue
        items.append(Item(label, size, _reader(entry.path)))
    return items


def _reader(path: str) -> Callable[[], bytes]:
    return lambda: read_regular(path)


def _walk(folder: Path | str, prefix: str, depth: int, report: Report) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Entries that are not folders, depth first in name order. Linked folders are reported, not entered."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda e: e.name)
    except OSError as error:
        report.note(f"folder '{shown_name(prefix) or folder}' cannot be listed: {error.strerror}")
        return
    if not entries and prefix:
        report.note(f"folder '{shown_name(prefix[:-1])}' is empty")
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if depth >= DEEPEST:
                report.note(f"folder '{shown_name(name)}' lies more than {DEEPEST} deep and is not entered")
            else:
                yield from _walk(entry.path, f"{name}/", depth + 1, report)
        else:
            yield entry, name


def _system(name: str) -> str:
    """Why a file is none of the user's data, judged by its name; '' if it may be."""
    parts = name.split("/")
    if "__MACOSX" in parts[:-1]:
        return "resource fork of macOS"
    if parts[-1].lower() in SYSTEM or parts[-1] == ".DS_Store":
        return "system file"
    if any(part.startswith(".") for part in parts):
        return "hidden file"
    return ""


def _accept(entry: os.DirEntry[str], inside: str) -> int:
    """The size of a regular file, also through a link that stays inside. Raises Unreadable."""
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        if not os.path.exists(target):
            raise Unreadable("link to nowhere")
        if os.path.commonpath((target, inside)) != inside:
            raise Unreadable("link out of the folder; not followed")
        if os.path.isdir(target):
            raise Unreadable("link to a folder; not followed")
    try:
        status = os.stat(entry.path)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"not a regular file but a {kind_of(status.st_mode)}; never opened")
    return status.st_size


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
        reason = _system(info.filename) or _zip_reason(info)
        name = shown_name(prefix + info.filename)
        if not reason:
            items.append(Item(name, info.file_size, _zip_reader(archive, info)))
        elif _system(info.filename):
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
        if _system(name.removeprefix("./")):
            report.ignore(label, _system(name.removeprefix("./")))
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


def start_of(item: Item, count: int = 16) -> bytes:
    """The first bytes of a file, b'' if it cannot be read or is too large to be a picture."""
    if item.size > LARGE:
        return b""
    try:
        return io.BytesIO(item.read()).read(count)
    except Unreadable:
        return b""
