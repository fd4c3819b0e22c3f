"""Disks that stop, refuse or forget: every operation is a numbered failpoint.

`Stopping` ends at an operation as `kill -9` would (nothing after it happens), `Refusing` answers with an errno,
`Full` takes so many bytes and no more, `Plain` skips the syncs (the page cache survives what these tests do).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from reverie.core.disk import Disk

OPERATIONS = (
    "mkdir", "open", "write", "truncate", "fsync", "close", "rename", "exchange", "unlink", "rmdir", "dirsync",
)  # fmt: skip


class Killed(BaseException):
    """Not an Exception: no handler of the package may see it, as none would see a SIGKILL."""


class Plain(Disk):
    """The real disk without the cost of syncing."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)

    def dirsync(self, path: Any) -> None:
        os.stat(path)


class NoExchange(Plain):
    """A system that cannot swap two names."""

    def exchange(self, one: Any, other: Any) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(other))


class Numbered(Disk):
    """Calls `before(number, operation)` and `after(number, operation)` around every operation of the inner disk."""

    def __init__(self, inner: Disk | None = None) -> None:
        self.inner, self.number = inner or Plain(), 0

    def before(self, number: int, operation: str) -> None: ...

    def after(self, number: int, operation: str) -> None: ...

    def _run(self, operation: str, *args: Any, **options: Any) -> Any:
        number, self.number = self.number, self.number + 1
        self.before(number, operation)
        try:
            return getattr(self.inner, operation)(*args, **options)
        finally:
            self.after(number, operation)


def _forwarded(operation: str) -> Callable[..., Any]:
    def method(self: Numbered, *args: Any, **options: Any) -> Any:
        return self._run(operation, *args, **options)

    return method


for _operation in OPERATIONS:
    setattr(Numbered, _operation, _forwarded(_operation))


class Stopping(Numbered):
    """Killed before (or after) operation `at`; from then on nothing reaches the disk, only files are closed."""

    def __init__(self, at: int, *, late: bool = False, inner: Disk | None = None, kill: Any = None) -> None:
        super().__init__(inner)
        self.at, self.late, self.dead, self.kill = at, late, False, kill

    def _stop(self) -> None:
        self.dead = True
        if self.kill:
            self.kill()
        raise Killed

    def before(self, number: int, operation: str) -> None:
        if number == self.at and not self.late:
            self._stop()

    def after(self, number: int, operation: str) -> None:
        if number == self.at and self.late:
            self._stop()

    def _run(self, operation: str, *args: Any, **options: Any) -> Any:
        if self.dead:
            if operation == "close":
                self.inner.close(*args)
            raise Killed
        return super()._run(operation, *args, **options)


class Refusing(Numbered):
    """Answers operation `at` (and with `always` each one after it) with an errno; a file is closed all the same."""

    def __init__(self, at: int, code: int, *, always: bool = False, inner: Disk | None = None) -> None:
        super().__init__(inner)
        self.at, self.code, self.always, self.refused = at, code, always, 0

    def _run(self, operation: str, *args: Any, **options: Any) -> Any:
        if self.number == self.at or (self.always and self.number > self.at):
            self.number += 1
            self.refused += 1
            if operation == "close":
                self.inner.close(*args)
            raise OSError(self.code, os.strerror(self.code))
        return super()._run(operation, *args, **options)


class Full(Plain):
    """Takes `room` bytes in all, the last write in part, then says ENOSPC."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, fd: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = os.write(fd, data[: self.room])
        self.room -= taken
        return taken
