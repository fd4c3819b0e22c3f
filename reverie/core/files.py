"""Files of a run, written whole or not at all, and read back against a manifest of hashes.

A file is written beside its place, synced, and renamed into it. A folder is written as `.tmp-<pid>-<random>`, each file
synced, `manifest.json` (sha256 and size of each) last, and renamed into place: it is whole or invisible after a kill, a
full disk or a power cut at any moment. Reading checks every byte that is returned against the manifest.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp()) / "model"
>>> write_folder(folder, {"config.json": b"{}"})
>>> read_folder(folder)
{'config.json': b'{}'}
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reverie.core.disk import attempts, disk, free_space, quietly
from reverie.core.errors import BAD_DATA, UserError
from reverie.core.manifest import MANIFEST, manifest, read_file, read_listed
from reverie.core.removal import current, discard, guarded, predecessor, remove, set_aside, sweep, temporary

__all__ = [
    "append_line", "current", "discard", "free_space", "make_folder", "read_file", "read_folder", "set_aside", "sweep",
    "sync", "truncate_lines", "write_file", "write_folder",
]  # fmt: skip


def write_file(path: str | Path, data: bytes) -> None:
    """Put a file in place whole, replacing what was there. Raises UserError (exit code 74) if the disk refuses."""
    path = Path(path)

    def attempt() -> None:
        hidden = temporary(path.parent)
        with guarded(hidden):
            _put(hidden, data)
            disk().rename(hidden, path)
        disk().dirsync(path.parent)

    attempts(attempt, path, len(data))


def write_folder(path: str | Path, contents: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Put a folder of files with its manifest in place: whole, or not at all.

    With `replace` an existing folder gives way in one step where the system can swap two names, else in two, between
    which `current` finds the old one. Raises UserError if the folder exists (without `replace`), or, with exit code 74
    and what stood before untouched, if the disk refuses.
    """
    path = Path(path)
    listed = manifest(contents)
    if not replace and os.path.lexists(path):
        raise UserError(f"'{path}' already exists and is never overwritten")

    def attempt() -> None:
        hidden = temporary(path.parent)
        with guarded(hidden):
            _fill(hidden, contents, listed)
            replaced = _commit(hidden, path)
        disk().dirsync(path.parent)  # from here on the new folder stands, and only its predecessor may go
        if replaced is not None:
            quietly(lambda: remove(replaced))

    attempts(attempt, path, sum(map(len, contents.values())) + len(listed))


def make_folder(path: str | Path) -> None:
    """Make a folder, and those above it, so that it is still there after a power cut."""
    path = Path(path)
    if path.is_dir():
        return
    make_folder(path.parent)

    def attempt() -> None:
        if not path.is_dir():
            disk().mkdir(path)
        disk().dirsync(path.parent)

    attempts(attempt, path, 0)


def _put(path: Path, data: bytes) -> None:
    fd = disk().open(path)
    try:
        _write_all(fd, data)
        disk().fsync(fd)
    finally:
        disk().close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[disk().write(fd, rest) :]


def _fill(folder: Path, contents: Mapping[str, bytes], listed: bytes) -> None:
    disk().mkdir(folder)
    for name, data in contents.items():
        _put(folder / name, data)
    _put(folder / MANIFEST, listed)
    disk().dirsync(folder)


def _commit(hidden: Path, path: Path) -> Path | None:
    """Give a whole folder its name; returns where its predecessor is now, if there was one."""
    aside = predecessor(path)
    if os.path.lexists(path):
        try:
            disk().exchange(hidden, path)
            return hidden
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
                raise
        if os.path.lexists(aside):
            remove(aside)
        disk().rename(path, aside)
        disk().dirsync(path.parent)
    disk().rename(hidden, path)
    return aside if os.path.lexists(aside) else None


def read_folder(path: str | Path, *, needs: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files that the folder's manifest lists, every byte checked against it.

    Raises UserError (exit code 65) that names the file, if the folder has no manifest, anything differs from it, or
    one of the names it `needs` is not listed.
    """
    path = Path(path)
    for _ in range(3):
        place = current(path)
        before = _identity(place)
        try:
            return read_listed(place, needs)
        except UserError:
            if _identity(current(path)) == before:  # otherwise it was replaced while being read
                raise
    raise UserError(f"'{path}' kept changing while it was read", code=BAD_DATA)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def append_line(path: str | Path, text: str, *, sync: bool = False) -> None:
    """Add one line to a log; with `sync` it, and all before it, survive a power cut.

    A write that fails leaves the file as it was. Raises UserError (exit code 74) if the disk refuses.
    """
    path, data = Path(path), (text.rstrip("\n") + "\n").encode()

    def attempt() -> None:
        fd = disk().open(path, append=True)
        try:
            _extend(fd, data)
            if sync:
                disk().fsync(fd)
        finally:
            disk().close(fd)
        if sync:
            disk().dirsync(path.parent)

    attempts(attempt, path, len(data))


def _extend(fd: int, data: bytes) -> None:
    size = os.fstat(fd).st_size
    try:
        _write_all(fd, data)
    except OSError:
        quietly(lambda: disk().truncate(fd, size))
        raise


def sync(path: str | Path) -> None:
    """Make what a log holds so far survive a power cut; nothing to do if there is no such file."""
    path = Path(path)

    def attempt() -> None:
        fd = disk().open(path, append=True)
        try:
            disk().fsync(fd)
        finally:
            disk().close(fd)
        disk().dirsync(path.parent)

    if path.exists():
        attempts(attempt, path, 0)


def truncate_lines(path: str | Path, keep: Callable[[dict[str, Any]], bool]) -> int:
    """Rewrite a log of JSON lines with those that `keep` accepts; returns how many went.

    A line torn by a crash, or anything else that is not a JSON object, goes too. Without a file, nothing happens.
    """
    path = Path(path)
    if not path.exists():
        return 0
    lines = attempts(path.read_bytes, path).splitlines(keepends=True)
    kept = [line for line in lines if line.endswith(b"\n") and _accepted(line, keep)]
    if len(kept) < len(lines):
        write_file(path, b"".join(kept))
    return len(lines) - len(kept)


def _accepted(line: bytes, keep: Callable[[dict[str, Any]], bool]) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and keep(value)
