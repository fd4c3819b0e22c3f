"""Limits that hold before anything is decoded: what a file says about itself is checked against what it is.

No reader opens a pipe or a device, inflates without a bound, or trusts a size in a header. A file that expands more
than EXPANSION times into more than LARGE bytes is refused as a decompression bomb. Nothing here writes to disk.
"""

from __future__ import annotations

import gzip
import math
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from reverie.core.errors import BAD_DATA, UserError

MIB = 1 << 20
PIXELS = 64 * 1000 * 1000  # of one picture
FILE = 512 * MIB  # of one picture file
TEXT = 1 * MIB  # of one text chunk in a picture
EXPANSION = 200  # ratio above which large output is a bomb; deflate cannot pass 1032
LARGE = 64 * MIB  # output below this is never called a bomb
MEMBERS = 5_000_000  # of one archive
MEMORY = 8 << 30  # never ask for more than this for a cache


class Unreadable(Exception):
    """One file cannot be used; the message is the reason, without the file's name."""


def budget() -> int:
    """Bytes that data may occupy: a third of the memory that is free now, at most 8 GiB."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/meminfo", encoding="ascii") as lines:
            free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        free = 4 << 30
    return min(free // 3, MEMORY)


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; never blocks on a pipe, never touches a device. Raises Unreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except PermissionError:
        raise Unreadable("permission denied") from None
    except FileNotFoundError:
        raise Unreadable("the file has vanished") from None
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror or error}") from None
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise Unreadable(f"not a regular file but a {kind_of(kind)}")
    return os.fdopen(descriptor, "rb")


def kind_of(mode: int) -> str:
    """The word for a special file."""
    words = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"))
    return next((word for test, word in (*words, (stat.S_ISBLK, "device")) if test(mode)), "special file")


def read_regular(path: str | Path, limit: int = FILE) -> bytes:
    """The bytes of a regular file of at most `limit`. Raises Unreadable."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise Unreadable(f"{size / MIB:,.0f} MiB in one file; at most {limit // MIB} are read")
        try:
            return file.read(size + 1)[:limit]  # asking for more would take memory for it at once
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror or error}") from None


def refuse_bomb(packed: int, unpacked: int, where: str) -> None:
    """UserError if `packed` bytes claim or turn out to be `unpacked`, and that is more than data ever compress."""
    if unpacked > LARGE and unpacked > EXPANSION * max(packed, 1):
        raise UserError(
            f"'{where}' would expand {unpacked // max(packed, 1)} times to {unpacked / MIB:,.0f} MiB, which looks like "
            "a decompression bomb; unpack it yourself if you trust it",
            code=BAD_DATA,
        )


def gunzip(path: Path, limit: int) -> bytes:
    """The content of a gzip file, inflated only up to `limit` bytes and refused if it is a bomb."""
    packed = path.stat().st_size
    pieces, total = [], 0
    try:
        with open_regular(path) as raw, gzip.GzipFile(fileobj=raw) as file:
            while piece := file.read(4 * MIB):
                total += len(piece)
                refuse_bomb(packed, total, str(path))
                if total > limit:
                    raise UserError(
                        f"'{path}' unpacks to more than {limit / MIB:,.0f} MiB; unpack it first", code=BAD_DATA
                    )
                pieces.append(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"'{path}' is a damaged gzip file: {error}", code=BAD_DATA) from error
    return b"".join(pieces)


def start_unpacked(path: Path, count: int = 4096) -> bytes:
    """The first bytes inside a gzip file. Raises Unreadable if it is damaged."""
    try:
        with open_regular(path) as raw, gzip.GzipFile(fileobj=raw) as file:
            return file.read(count)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"a damaged gzip file: {error}") from error


def members(archive: zipfile.ZipFile, where: str) -> list[zipfile.ZipInfo]:
    """The files in a zip archive, each with a sane name and size; the sizes are the archive's claims."""
    found = [info for info in archive.infolist() if not info.is_dir()]
    if len(found) > MEMBERS:
        raise UserError(f"'{where}' names {len(found)} files; at most {MEMBERS} are allowed", code=BAD_DATA)
    return found


def product(shape: tuple[int, ...], itemsize: int, where: str) -> int:
    """Bytes of an array, refused where the header's shape is absurd (Python integers: no overflow)."""
    if any(n < 0 for n in shape) or len(shape) > 8:
        raise UserError(f"'{where}' has an impossible shape {shape}", code=BAD_DATA)
    return math.prod(shape) * itemsize


def escapes(name: str) -> bool:
    """Whether a member's name would leave the folder it belongs to."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0].endswith(":"))
