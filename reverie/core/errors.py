"""The one way to tell a user that something they gave cannot be used.

A `UserError` is one sentence that names the value and says what is allowed. The command line prints it
without a traceback and exits with its code: 2 usage, 65 bad data or checkpoint, 74 input/output,
75 stopped by the non-finite guard (the codes of sysexits.h where there is one).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

USAGE, BAD_DATA, INPUT_OUTPUT, NON_FINITE = 2, 65, 74, 75


class UserError(Exception):
    """One clear sentence for the user, and the exit code that goes with it."""

    def __init__(self, message: str, *, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def unknown(kind: str, value: object, allowed: Iterable[str]) -> UserError:
    """The error for a name outside a closed list; suggests the nearest.

    >>> str(unknown("sampler", "hein", ["heun", "ddim"]))
    "unknown sampler 'hein'; did you mean 'heun'? Allowed: ddim, heun"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return UserError(f"unknown {kind} '{value}'{hint} Allowed: {', '.join(names)}")
