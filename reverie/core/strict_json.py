"""JSON from a file somebody else may have written: one object of plain values, or one clear error.

Refused are duplicate keys, NaN and infinities (also by overflow, `1e400`), text that is not Unicode, nesting deeper
than `DEPTH` and anything larger than the limit given.
"""

from __future__ import annotations

import json
import math
from typing import Any

from reverie.core.errors import BAD_DATA, UserError

DEPTH = 32


def parse(data: bytes, *, where: str, limit: int) -> dict[str, Any]:
    """The object in these bytes. Raises UserError (exit code 65) that names `where`.

    >>> parse(b'{"steps": 20}', where="config.json", limit=100)
    {'steps': 20}
    """
    if len(data) > limit:
        raise UserError(f"'{where}' has {len(data)} bytes where {limit} are allowed", code=BAD_DATA)
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float
        )
        _check(value)
    except RecursionError as error:
        raise UserError(f"'{where}' is nested more than {DEPTH} deep", code=BAD_DATA) from error
    except ValueError as error:
        raise UserError(f"'{where}' is not valid JSON: {str(error)[:200]}", code=BAD_DATA) from error
    if not isinstance(value, dict):
        raise UserError(f"'{where}' must hold a JSON object, not a {type(value).__name__}", code=BAD_DATA)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in made if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!r} is given twice")
    return made


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _check(value: Any) -> None:
    """Hold nesting and text to the rules. Raises ValueError."""
    level = [value]
    for _ in range(DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following.extend(item.keys())
                following.extend(item.values())
            elif isinstance(item, list):
                following.extend(item)
            elif isinstance(item, str):
                item.encode("utf-8")
        level = following
        if not level:
            return
    raise RecursionError
