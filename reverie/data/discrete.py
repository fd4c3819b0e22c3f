"""Built-in sets of discrete data: a binary heartbeat and a generated text.

`heartbeat` is the sequence of the 2015 paper: 20 bits, a one in every fifth, in any of five phases: knowing this,
a sequence costs log₂ 5 = 2.32 bits. `text` is English-like: sentences of a small grammar, in which the end of a
word, the number of a noun and the form of a verb depend on what came before, cut into windows of 64 characters.
Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 3.1.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from reverie.core.rng import Rng

LENGTH = 20
PERIOD = 5
WINDOW = 64
ALPHABET = " abcdefghijklmnopqrstuvwxyz."
ONE, MANY = ("a", "the", "one", "every"), ("two", "three", "some", "many")
NOUNS = ("dog", "bird", "river", "teacher", "garden", "window", "student", "machine", "letter", "island")
ADJECTIVES = ("small", "quiet", "golden", "broken", "curious", "heavy", "distant", "bright")
VERBS = ("carry", "follow", "remember", "answer", "cover", "watch", "reach", "need")
LINKS = ("because", "while", "until", "although")


def heartbeat(count: int, rng: Rng) -> tuple[Tensor, None]:
    """Bits (count, 20), bool: ones at every fifth place, from a random first one on."""
    phase = rng.integers(count, PERIOD)
    return (torch.arange(LENGTH)[None, :] - phase[:, None]) % PERIOD == 0, None


def text(count: int, rng: Rng) -> tuple[Tensor, None]:
    """Codes (count, 64), uint8, places in `ALPHABET`: each window from a text of its own, at a random place."""
    u = rng.uniform(count, 128)
    codes = {letter: k for k, letter in enumerate(ALPHABET)}
    rows = [[codes[c] for c in _window(iter(row))] for row in u.tolist()]
    return torch.tensor(rows, dtype=torch.uint8), None


def spelt(codes: Tensor) -> list[str]:
    """Codes (N, L) as text.

    >>> spelt(torch.tensor([[8, 9, 27]]))
    ['hi.']
    """
    return ["".join(ALPHABET[k] for k in row) for row in codes.tolist()]


def _window(u: Iterator[float]) -> str:
    written, start = "", int(next(u) * 48)
    while len(written) < start + WINDOW:
        written += _sentence(u)
    return written[start : start + WINDOW]


def _sentence(u: Iterator[float]) -> str:
    """subject verb object [link subject verb object]. Verbs agree with their subject."""
    clause = _clause(u)
    if next(u) < 0.3:
        clause += f" {_pick(LINKS, u)} {_clause(u)}"
    return clause + ". "


def _clause(u: Iterator[float]) -> str:
    subject, several = _phrase(u)
    verb = _pick(VERBS, u)
    return f"{subject} {verb if several else _third(verb)} {_phrase(u)[0]}"


def _phrase(u: Iterator[float]) -> tuple[str, bool]:
    several = next(u) < 0.5
    adjective = f"{_pick(ADJECTIVES, u)} " if next(u) < 0.5 else ""
    noun = _pick(NOUNS, u)
    return f"{_pick(MANY if several else ONE, u)} {adjective}{noun}{'s' if several else ''}", several


def _third(verb: str) -> str:
    """The verb's form for one: carries, watches, needs."""
    if verb.endswith("y"):
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith("ch") else "s")


def _pick(words: tuple[str, ...], u: Iterator[float]) -> str:
    return words[int(next(u) * len(words))]
