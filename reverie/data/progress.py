"""Work on many files: several at a time, results in order, bounded memory, and a bar once it takes over two seconds."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Got = TypeVar("Got")
PATIENCE = 2.0  # seconds before a bar appears


def workers() -> int:
    """Threads for decoding: the cores this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores))


def mapped(work: Callable[[Given], Got], items: Sequence[Given], what: str) -> Iterator[Got]:
    """work(item) for every item, in order, computed by a few threads that run at most a few items ahead."""
    return shown(_mapped(work, items), len(items), what)


def _mapped(work: Callable[[Given], Got], items: Sequence[Given]) -> Iterator[Got]:
    if workers() == 1 or len(items) < 8:
        yield from map(work, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(workers(), "reverie-read") as pool:
        waiting: deque[Future[Got]] = deque(pool.submit(work, item) for item in itertools.islice(rest, 4 * workers()))
        while waiting:
            done = waiting.popleft().result()
            for item in itertools.islice(rest, 1):
                waiting.append(pool.submit(work, item))
            yield done


def shown(items: Iterable[Got], total: int, what: str) -> Iterator[Got]:
    """The items, with a progress bar on the terminal if going through them takes more than two seconds."""
    begun, bar, done = time.monotonic(), None, 0
    try:
        for item in items:
            yield item
            done += 1
            if bar is None and time.monotonic() - begun > PATIENCE and done < total:
                bar = _bar(what, total)
            if bar is not None:
                bar.update(done)
    finally:
        if bar is not None:
            bar.stop()


class _bar:
    """A rich progress bar on stderr; where stderr is no terminal, a line every ten seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.said = what, total, time.monotonic()
        self.rich = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self.rich = Progress(console=Console(stderr=True), transient=True)
            self.task = self.rich.add_task(what, total=total)
            self.rich.start()
        else:
            print(f"{what}: {total:,} to go", file=sys.stderr, flush=True)

    def update(self, done: int) -> None:
        if self.rich is not None:
            self.rich.update(self.task, completed=done)
        elif time.monotonic() - self.said > 10:
            self.said = time.monotonic()
            print(f"{self.what}: {done:,} of {self.total:,}", file=sys.stderr, flush=True)

    def stop(self) -> None:
        if self.rich is not None:
            self.rich.stop()
