"""Plain-text docstrings as reStructuredText: prose becomes paragraphs, what is indented stays as it is laid out."""

import re
from itertools import groupby

BEFORE, AFTER = " '\"([{<-/:", " '\")]}>-/:.,;!?"


def as_rst(text: str) -> str:
    """The text with its markup characters escaped; `names` become code, indented blocks and sessions literal.

    >>> print(as_rst("A *b* of `c`:\\n    d = e_f"))
    A \\*b\\* of ``c``:
    <BLANKLINE>
    ::
    <BLANKLINE>
        d = e_f
    <BLANKLINE>
    """
    out: list[str] = []
    for literal, group in groupby(text.expandtabs().split("\n"), key=_kind):
        block = list(group)
        if literal is None:
            out.append("")
        elif literal:
            margin = min(len(line) - len(line.lstrip()) for line in block)
            out += ["", "::", "", *("    " + line[margin:] for line in block), ""]
        else:
            out += [_prose(line) for line in block]
    return "\n".join(out)


def _kind(line: str) -> bool | None:
    """True for a line that is laid out by hand, False for prose, None for an empty one."""
    if not line.strip():
        return None
    return line.startswith((" ", ">>>", "..."))


def _prose(line: str) -> str:
    # code that touches a letter or another mark (`name`s, `numbers`[i]) needs an escaped space between them
    pieces = [piece for piece in re.split(r"(`[^`]+`)", line) if piece]
    out = ""
    for piece in pieces:
        code = piece.startswith("`") and len(piece) > 2
        joined = out and (out[-1] not in BEFORE if code else out.endswith("``") and piece[0] not in AFTER)
        out += ("\\ " if joined else "") + (f"``{piece.strip('`').strip()}``" if code else _escape(piece))
    return out


def _escape(part: str) -> str:
    return re.sub(r"([*_|\\`])", r"\\\1", part)
