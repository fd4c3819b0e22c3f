"""One writer at a time in a folder: a file `.lock` with the owner's process number, held by the operating system."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType

from reverie.core.errors import INPUT_OUTPUT, UserError
from reverie.core.removal import alive

try:
    import fcntl
except ImportError:  # Windows: the file's existence is the lock
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: the lock is its parent's, and must not outlive it."""
    for fd in _held:
        os.close(fd)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


class Lock:
    """Held between `with Lock(folder):` and its end, or the end of the process, however it comes.

    Raises UserError at once, with the owner's process number, if another holds it. A dead one's lock is taken over.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / ".lock"
        self._fd: int | None = None

    def __enter__(self) -> Lock:
        for _ in range(10):
            try:
                fd = self._open()
            except OSError as error:
                raise UserError(f"cannot lock '{self.folder}': {error.strerror}", code=INPUT_OUTPUT) from error
            if fd is not None:
                os.ftruncate(fd, 0)
                os.write(fd, f"{os.getpid()}\n".encode())
                self._fd = fd
                _held.add(fd)
                return self
        raise self._taken(self._owner())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            _held.discard(fd)
            if fcntl is None:
                os.close(fd)
            self.path.unlink(missing_ok=True)
            if fcntl is not None:
                os.close(fd)

    def _open(self) -> int | None:
        """The locked file, or None to try again. Raises UserError if a living process holds it."""
        if fcntl is None:
            return self._create()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise self._taken(self._owner()) from None
        except OSError:  # a file system without locks
            os.close(fd)
            return self._create()
        try:
            if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)  # its owner removed the file between our opening and locking it
        return None

    def _create(self) -> int | None:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            self._discard_dead()
            return None

    def _discard_dead(self) -> None:
        """Remove the lock of a process that is gone."""
        owner = self._owner()
        if owner is not None and alive(owner):
            raise self._taken(owner)
        if owner is not None:
            self.path.unlink(missing_ok=True)

    def _owner(self) -> int | None:
        try:
            text = self.path.read_bytes()[:20]
        except OSError:
            return None
        match = re.fullmatch(rb"(\d+)\n", text)
        return int(match[1]) if match else None

    def _taken(self, owner: int | None) -> UserError:
        who = f"process {owner}" if owner is not None else "another process"
        return UserError(f"'{self.folder}' is in use by {who}; wait for it to end, or stop it")
