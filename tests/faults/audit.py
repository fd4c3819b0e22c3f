"""A canary: what the interpreter was made to do while a hostile file was read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WATCHED = ("exec", "compile", "import", "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "ctypes.dlopen")
PREFIXES = (
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "pickle.",
)
_seen: list[tuple[str, str]] | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event in WATCHED or event.startswith(PREFIXES):
        _seen.append((event, str(args[0])[:80] if args else ""))
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wxa+"):
        _seen.append((event, str(args[0])))


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    """What happened inside: code run, modules imported, processes, connections, files opened for writing."""
    global _seen
    _seen = seen = []
    try:
        yield seen
    finally:
        _seen = None
