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
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from reverie.core.disk import Disk
from reverie.core.errors import BAD_DATA, INPUT_OUTPUT, UserError
from reverie.core.manifest import MANIFEST, manifest, read_listed

TEMPORARY = re.compile(r"\.tmp-(\d+)-[0-9a-f]+")
ATTEMPTS = 3  # of a whole write after EIO: a failed fsync may have dropped the data, so it is never merely repeated

disk = Disk()
_writing: set[Path] = set()
_T = TypeVar("_T")


def free_space(path: str | Path) -> int:
    """Bytes free for this user on the disk that holds the path (or the nearest folder above it that exists)."""
    place = Path(path).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def write_file(path: str | Path, data: bytes) -> None:
    """Put a file in place whole, replacing what was there. Raises UserError (exit code 74) if the disk refuses."""
    path = Path(path)

    def attempt() -> None:
        temporary = _temporary(path.parent)
        with _guarded(temporary):
            _put(temporary, data)
            disk.rename(temporary, path)
        disk.dirsync(path.parent)

    _attempts(attempt, path, len(data))


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
        temporary = _temporary(path.parent)
        with _guarded(temporary):
            _fill(temporary, contents, listed)
            _commit(temporary, path)

    _attempts(attempt, path, sum(map(len, contents.values())) + len(listed))


def make_folder(path: str | Path) -> None:
    """Make a folder, and those above it, so that it is still there after a power cut."""
    path = Path(path)
    if path.is_dir():
        return
    make_folder(path.parent)

    def attempt() -> None:
        if not path.is_dir():
            disk.mkdir(path)
        disk.dirsync(path.parent)

    _attempts(attempt, path, 0)


def _put(path: Path, data: bytes) -> None:
    fd = disk.open(path)
    try:
        _write_all(fd, data)
        disk.fsync(fd)
    finally:
        disk.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(fd, rest) :]


def _fill(folder: Path, contents: Mapping[str, bytes], listed: bytes) -> None:
    disk.mkdir(folder)
    for name, data in contents.items():
        _put(folder / name, data)
    _put(folder / MANIFEST, listed)
    disk.dirsync(folder)


def _commit(temporary: Path, path: Path) -> None:
    """Give a whole folder its name; what had the name before is then litter, and removed."""
    replaced = _swap(temporary, path) if os.path.lexists(path) else None
    if replaced is None:
        disk.rename(temporary, path)
        aside = _aside(path)
        replaced = aside if os.path.lexists(aside) else None
    disk.dirsync(path.parent)
    if replaced is not None:
        remove(replaced)


def _swap(temporary: Path, path: Path) -> Path | None:
    """Swap in one step and return the old folder's new name; or None, the old one set aside, where that cannot be."""
    try:
        disk.exchange(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        aside = _aside(path)
        if os.path.lexists(aside):
            remove(aside)
        disk.rename(path, aside)
        return None
    return temporary


def _aside(path: Path) -> Path:
    return path.with_name(f".old-{path.name}")


def current(path: str | Path) -> Path:
    """The folder itself, or its predecessor where a crash came between the two steps of replacing it."""
    path = Path(path)
    return path if os.path.lexists(path) or not _aside(path).is_dir() else _aside(path)


def remove(path: str | Path) -> None:
    """Remove a file, or a folder so that it is never seen half-empty under its name. Raises OSError."""
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return disk.unlink(path)
    if not TEMPORARY.fullmatch(path.name):
        hidden = _temporary(path.parent)
        disk.rename(path, hidden)
        disk.dirsync(path.parent)
        path = hidden
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            remove(entry)
        else:
            disk.unlink(entry)
    return disk.rmdir(path)


def discard(path: str | Path) -> None:
    """`remove`, with one sentence (exit code 74) if the disk refuses."""
    _attempts(lambda: remove(path) if os.path.lexists(path) else None, Path(path), 0)


def set_aside(path: str | Path, name: str) -> None:
    """Rename within the folder; what had the new name goes. Raises UserError (exit code 74) if the disk refuses."""
    path = Path(path)

    def attempt() -> None:
        if os.path.lexists(path.with_name(name)):
            remove(path.with_name(name))
        disk.rename(path, path.with_name(name))
        disk.dirsync(path.parent)

    _attempts(attempt, path, 0)


def sweep(folder: str | Path) -> None:
    """Remove what writers that died left behind: temporary names whose process is gone."""
    for entry in sorted(Path(folder).glob(".tmp-*")):
        match = TEMPORARY.fullmatch(entry.name)
        if not match or entry in _writing or (int(match[1]) != os.getpid() and alive(int(match[1]))):
            continue
        try:
            remove(entry)
        except OSError:
            continue


def alive(pid: int) -> bool:
    """Whether a process with this number exists on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _temporary(folder: Path) -> Path:
    return folder / f".tmp-{os.getpid()}-{secrets.token_hex(6)}"


@contextmanager
def _guarded(temporary: Path) -> Iterator[None]:
    """Leave no temporary name behind if the disk refuses (after a kill, `sweep` removes it)."""
    _writing.add(temporary)
    try:
        yield
    except OSError:
        if os.path.lexists(temporary):
            _quietly(lambda: remove(temporary))
        raise
    finally:
        _writing.discard(temporary)


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except OSError:
        return


def _attempts(action: Callable[[], _T], path: Path, needed: int) -> _T:
    """Do it, again from the start after EIO; every other refusal becomes one sentence."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except OSError as error:
            if error.errno != errno.EIO or attempt == ATTEMPTS:
                raise _refused(error, path, needed) from error
            time.sleep(0.02 * attempt)
    raise AssertionError("unreachable")


def _refused(error: OSError, path: Path, needed: int) -> UserError:
    try:
        free = f"{free_space(path)} free"
    except OSError:
        free = "free space unknown"
    return UserError(
        f"cannot write '{path}': {error.strerror or error} ({needed} bytes needed, {free})", code=INPUT_OUTPUT
    )


def read_folder(path: str | Path) -> dict[str, bytes]:
    """The files that the folder's manifest lists, every byte checked against it.

    Raises UserError (exit code 65) that names the file, if the folder has no manifest or anything differs from it.
    """
    path = Path(path)
    for _ in range(ATTEMPTS):
        place = current(path)
        before = _identity(place)
        try:
            return read_listed(place)
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
        fresh = not path.exists()
        fd = disk.open(path, append=True)
        try:
            _extend(fd, data)
            if sync:
                disk.fsync(fd)
        finally:
            disk.close(fd)
        if sync and fresh:
            disk.dirsync(path.parent)

    _attempts(attempt, path, len(data))


def _extend(fd: int, data: bytes) -> None:
    size = os.fstat(fd).st_size
    try:
        _write_all(fd, data)
    except OSError:
        _quietly(lambda: disk.truncate(fd, size))
        raise


def sync(path: str | Path) -> None:
    """Make what a log holds so far survive a power cut; nothing to do if there is no such file."""
    path = Path(path)

    def attempt() -> None:
        fd = disk.open(path, append=True)
        try:
            disk.fsync(fd)
        finally:
            disk.close(fd)
        disk.dirsync(path.parent)

    if path.exists():
        _attempts(attempt, path, 0)


def truncate_lines(path: str | Path, keep: Callable[[dict[str, Any]], bool]) -> int:
    """Rewrite a log of JSON lines with those that `keep` accepts; returns how many went.

    A line torn by a crash, or anything else that is not a JSON object, goes too. Without a file, nothing happens.
    """
    path = Path(path)
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
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
