"""Files by name within a folder: what is found, what may be read, and how.

Every entry found is counted and becomes an `Item`, or is skipped with a reason. Links that lead out of the folder,
pipes, devices and sockets are never opened.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reverie.data.limits import LARGE, Unreadable, kind_of, open_regular, read_regular
from reverie.data.report import Report

PICTURES = {
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff", "avif", "pgm", "ppm", "pnm",
    "pbm", "mpo",
}  # fmt: skip
ARRAYS = {"npy"}
SOUNDS = {"wav"}
SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"}
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
DEEPEST = 100


@dataclass(frozen=True)
class Item:
    """One file by its name within the source, and how to get its bytes (raises Unreadable)."""

    name: str
    size: int
    read: Callable[[], bytes]
    path: str = ""

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
        reason = system_reason(name)
        if reason:
            report.ignore(label, reason)
            continue
        data = Item(name, 0, bytes).suffix in PICTURES | ARRAYS | SOUNDS
        try:
            size = _accept(entry, inside)
        except Unreadable as why:
            (report.refuse if data else report.ignore)(label, str(why))
            continue
        items.append(Item(label, size, _reader(entry.path), entry.path))
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


def system_reason(name: str) -> str:
    """Why a file is none of the user's data, judged by its name; '' if it may be."""
    parts = name.split("/")
    if "__MACOSX" in parts[:-1]:
        return "resource fork of macOS"
    if parts[-1].lower() in SYSTEM or parts[-1] == ".DS_Store":
        return "system file"
    if any(part.startswith(".") and not part.startswith("..") for part in parts):
        return "hidden file"
    return ""


def _accept(entry: os.DirEntry[str], inside: str) -> int:
    """The size of a regular file, also through a link that stays inside. Raises Unreadable."""
    if entry.is_symlink():
        try:
            target = os.path.realpath(entry.path)
            outside = os.path.commonpath((target, inside)) != inside
        except (OSError, ValueError) as error:
            raise Unreadable(f"link that cannot be followed: {error}") from None
        if not os.path.exists(target):
            raise Unreadable("link to nowhere")
        if outside:
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


def start_of(item: Item, count: int = 16) -> bytes:
    """The first bytes of a file, b'' if it cannot be read or is a member too large to be a picture."""
    try:
        if item.path:
            with open_regular(item.path) as file:
                return file.read(count)
        if item.size > LARGE:
            return b""
        return io.BytesIO(item.read()).read(count)
    except (Unreadable, OSError):
        return b""
