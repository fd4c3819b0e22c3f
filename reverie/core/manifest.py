"""The manifest of a folder: sha256 and size of each file, so that damage is found in the very bytes that are used."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reverie.core.errors import BAD_DATA, INPUT_OUTPUT, UserError
from reverie.core.strict_json import parse

MANIFEST = "manifest.json"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
LIMIT = 1 << 20  # bytes of a manifest


def manifest(contents: Mapping[str, bytes]) -> bytes:
    """The manifest of these files. Raises ValueError for a name that could leave the folder or hide in it."""
    for name in contents:
        if not NAME.fullmatch(name) or name == MANIFEST:
            raise ValueError(f"'{name}' cannot be the name of a file in a folder with a manifest")
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}
    return json.dumps({"format_version": 1, "files": listed}, indent=1, sort_keys=True).encode()


def read_listed(folder: Path, needs: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files that the manifest lists, each checked. Raises UserError (exit code 65) that names the file at fault."""
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}'", code=BAD_DATA)
    where = folder / MANIFEST
    made = parse(read_file(where, LIMIT), where=str(where), limit=LIMIT)
    listed = made.get("files")
    if made.get("format_version") != 1 or not isinstance(listed, dict):
        raise UserError(f"'{where}' is not a manifest of format version 1", code=BAD_DATA)
    for name, entry in listed.items():
        if not NAME.fullmatch(name) or not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
            raise UserError(f"'{where}' lists {name[:80]!r} in a way that is not understood", code=BAD_DATA)
    for name in needs:
        if name not in listed:
            raise UserError(f"'{where}' does not list {name}", code=BAD_DATA)
    return {name: _checked(folder / name, entry) for name, entry in listed.items()}


def _checked(path: Path, entry: Mapping[str, Any]) -> bytes:
    size = entry["bytes"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise UserError(f"'{path}': the manifest gives no size for it", code=BAD_DATA)
    data = read_file(path, size)
    if len(data) != size:
        raise UserError(f"'{path}' has {len(data)} bytes where the manifest says {size}: it is damaged", code=BAD_DATA)
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise UserError(
            f"'{path}' does not match the sha256 in the manifest: it is damaged or was changed", code=BAD_DATA
        )
    return data


def read_file(path: Path, limit: int) -> bytes:
    """A regular file of at most `limit` bytes; never waits on a pipe. Raises UserError (65) that names it."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(fd, "rb") as stream:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"'{path}' is not a file", code=BAD_DATA)
            if status.st_size > limit:
                raise UserError(f"'{path}' has {status.st_size} bytes where {limit} are expected", code=BAD_DATA)
            return stream.read(status.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"'{path}' is missing", code=BAD_DATA) from error
    except OSError as error:  # of these, only a failing medium says that the file itself is bad
        code = BAD_DATA if error.errno == errno.EIO else INPUT_OUTPUT
        raise UserError(f"cannot read '{path}': {error.strerror or error}", code=code) from error
