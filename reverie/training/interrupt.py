"""Signals: the first asks a run to save and stop, the second ends the process."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any


class Interrupt:
    """SIGINT and SIGTERM ask the run to save and stop; a second one ends the process at once."""

    def __init__(self) -> None:
        self.code = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._raise)
            except ValueError:  # not the main thread: the caller handles signals
                break
        return self

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.code:
            os._exit(128 + number)
        self.code = 128 + number

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
