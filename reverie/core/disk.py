"""The operations that change a disk, one method each: what a test may count, stop, refuse or replay.

Nothing else in the package opens, renames or removes a file of a run. Durability is explicit, as in POSIX: data are
on the disk after `fsync` of the file, names after `dirsync` of the folder that holds them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from reverie.core.errors import INPUT_OUTPUT, UserError

ATTEMPTS = 3  # of a whole write after EIO: a failed fsync may have dropped the data, so it is never merely repeated

_EXCHANGE = {"linux": ("renameat2", 2), "darwin": ("renameatx_np", 2)}  # RENAME_EXCHANGE, RENAME_SWAP
_AT_FDCWD = {"linux": -100, "darwin": -2}
_T = TypeVar("_T")


class Disk:
    """The real disk. Every method is one step of a crash-safe write; all raise OSError."""

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)

    def open(self, path: Path, *, append: bool = False) -> int:
        """A new file (it must not exist), or the end of an existing one."""
        kind = os.O_APPEND if append else os.O_EXCL
        return os.open(path, os.O_WRONLY | os.O_CREAT | kind | getattr(os, "O_BINARY", 0), 0o644)

    def write(self, fd: int, data: memoryview) -> int:
        """The number of bytes taken, which may be fewer than given."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Replaces a file; a folder only moves to a free name."""
        os.replace(old, new)

    def exchange(self, one: Path, other: Path) -> None:
        """Swap two names in one step. Raises OSError (ENOSYS, EINVAL) where the system has no such step."""
        name, flag = _EXCHANGE.get(sys.platform, ("", 0))
        swap = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
        if swap is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(other))
        here = _AT_FDCWD[sys.platform]
        if swap(here, os.fsencode(one), here, os.fsencode(other), flag):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(other))

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def rmdir(self, path: Path) -> None:
        os.rmdir(path)

    def dirsync(self, path: Path) -> None:
        """Make the names in a folder durable; nothing to do where folders cannot be opened (Windows)."""
        if os.name == "nt":
            return
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


_current = Disk()


def disk() -> Disk:
    """The disk that files are written to."""
    return _current


@contextmanager
def use(other: Disk) -> Iterator[None]:
    """Write to another disk for a while: one that a test made to fail, to stop or to remember."""
    global _current
    before, _current = _current, other
    try:
        yield
    finally:
        _current = before


def free_space(path: str | Path) -> int:
    """Bytes free for this user on the disk that holds the path (or the nearest folder above it that exists)."""
    place = Path(path).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def attempts(action: Callable[[], _T], path: Path, needed: int = 0) -> _T:
    """Do it, again from the start after EIO. Raises UserError (exit code 74) if the disk refuses."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except OSError as error:
            if error.errno != errno.EIO or attempt == ATTEMPTS:
                raise _refused(error, path, needed) from error
            time.sleep(0.02 * attempt)
    raise AssertionError("unreachable")


def quietly(action: Callable[[], object]) -> None:
    """Do it if the disk allows: what is left undone is litter, and swept up later."""
    try:
        action()
    except OSError:
        return


def _refused(error: OSError, path: Path, needed: int) -> UserError:
    try:
        free = f"{free_space(path)} free"
    except OSError:
        free = "free space unknown"
    why = error.strerror or str(error)
    return UserError(f"cannot write '{path}': {why} ({needed} bytes needed, {free})", code=INPUT_OUTPUT)
