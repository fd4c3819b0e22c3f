"""The operations that change a disk, one method each: what a test may count, stop, refuse or replay.

Nothing else in the package opens, renames or removes a file of a run. Durability is explicit, as in POSIX: data are
on the disk after `fsync` of the file, names after `dirsync` of the folder that holds them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_EXCHANGE = {"linux": ("renameat2", 2), "darwin": ("renameatx_np", 2)}  # RENAME_EXCHANGE, RENAME_SWAP
_AT_FDCWD = {"linux": -100, "darwin": -2}


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
