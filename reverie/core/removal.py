"""Removing and setting aside, so that nothing is ever seen half-removed under its own name."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reverie.core.disk import attempts, disk, quietly

TEMPORARY = re.compile(r"\.tmp-(\d+)-[0-9a-f]+")
_writing: set[Path] = set()


def temporary(folder: Path) -> Path:
    """A name that no reader looks at, and that says which process is writing there."""
    return folder / f".tmp-{os.getpid()}-{secrets.token_hex(6)}"


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Leave no temporary name behind if the disk refuses (after a kill, `sweep` removes it)."""
    _writing.add(path)
    try:
        yield
    except OSError:
        if os.path.lexists(path):
            quietly(lambda: remove(path))
        raise
    finally:
        _writing.discard(path)


def remove(path: str | Path) -> None:
    """Remove a file, or a folder, which loses its name first, durably, and then its files. Raises OSError."""
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return disk().unlink(path)
    if not TEMPORARY.fullmatch(path.name):
        hidden = temporary(path.parent)
        disk().rename(path, hidden)
        disk().dirsync(path.parent)
        path = hidden
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            remove(entry)
        else:
            disk().unlink(entry)
    return disk().rmdir(path)


def predecessor(path: Path) -> Path:
    """The name of a folder while it is being replaced in two steps."""
    return path.with_name(f".old-{path.name}")


def current(path: str | Path) -> Path:
    """The folder itself, or its predecessor where a crash came between the two steps of replacing it."""
    path = Path(path)
    return path if os.path.lexists(path) or not predecessor(path).is_dir() else predecessor(path)


def discard(path: str | Path) -> None:
    """`remove` what may be there, with one sentence (exit code 74) if the disk refuses."""
    path = Path(path)
    for place in (predecessor(path), path):
        attempts(lambda place=place: remove(place) if os.path.lexists(place) else None, place)  # type: ignore[misc]


def set_aside(path: str | Path, name: str) -> None:
    """Rename within the folder; what had the new name goes. Raises UserError (exit code 74) if the disk refuses."""
    path = Path(path)
    discard(path.with_name(name))

    def attempt() -> None:
        if os.path.lexists(current(path)):
            disk().rename(current(path), path.with_name(name))
        disk().dirsync(path.parent)

    attempts(attempt, path)


def sweep(folder: str | Path) -> None:
    """Remove what writers that died left behind: temporary names whose process is gone."""
    for entry in sorted(Path(folder).glob(".tmp-*")):
        match = TEMPORARY.fullmatch(entry.name)
        if match and entry not in _writing and (int(match[1]) == os.getpid() or not alive(int(match[1]))):
            quietly(lambda entry=entry: remove(entry))  # type: ignore[misc]


def alive(pid: int) -> bool:
    """Whether a process with this number exists on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
