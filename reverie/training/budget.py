"""What seconds buy: the effort for each example by the network's speed, and the number of examples by the clock.

A bound's error is mostly the spread between examples, so that a little for each of many is worth more than much for a
few: effort grows only when there are no more examples, or, for the importance bound, which is the tighter the more is
spent on each, from EXAMPLES on. The number of examples is not fixed beforehand but by the time they have taken: see
`seconds` of `reverie.training.scoring.score`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.training.model import Model
from reverie.training.scoring import EXACT_UP_TO, Effort, chunk_of, steps_of

LEAST = Effort(1, terms=16, probes=2, particles=4)
MOST = Effort(1, terms=256, probes=16, particles=64)
UNITS = {"elbo": "terms", "vlb": "terms", "ode": "probes", "importance": "particles"}
FEWEST = 4  # examples
EXAMPLES = 200  # of the importance bound
PICTURES = 0.08  # of the time is for curves that need the network again
ENDING = 1.5  # seconds that drawing and writing take


@dataclass(frozen=True)
class Plan:
    """An effort, how many examples it is good for in its time, how many go together, and the seconds it takes."""

    effort: Effort
    expected: int
    chunk: int
    seconds: float


def plan(
    model: Model, method: str, seconds: float, available: int, rate: float, asked: Mapping[str, int | None]
) -> Plan:
    """The effort for `available` examples in `seconds` at `rate` evaluations a second; what is `asked` for holds.

    The number of examples is that asked for, or all there are: as many as the clock allows.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    exact = model.seen.dimensions <= EXACT_UP_TO
    count = min(given.get("count", available), available)
    wanted = min(count, EXAMPLES) if method == "importance" else count
    unit = UNITS[method]
    least, most = getattr(LEAST, unit), getattr(MOST, unit)
    more = seconds * rate / (wanted * LEAST.evaluations(method, exact))
    most = min(most, max(2, steps_of(model) - 1)) if unit == "terms" else most
    effort = replace(LEAST, **{unit: max(least if "count" not in given else 2, min(most, int(least * more)))})
    effort = replace(effort, **{**given, "count": count})
    evaluations = effort.evaluations(method, exact)
    affordable = max(FEWEST, int(seconds * rate / evaluations))
    # chunks small beside the time there is, so that the clock can stop between them
    chunk = chunk_of(model) if "count" in given else max(FEWEST, min(chunk_of(model), affordable // 8))
    expected = count if "count" in given else min(count, affordable)
    return Plan(effort, expected, chunk, expected * evaluations / rate)


@torch.no_grad()
def speed(model: Model, x0: Tensor, seconds: float = 1.0) -> float:
    """Evaluations of the network in a second, measured on chunks of these examples."""
    rows = x0[: chunk_of(model)]
    rows = rows if model.stage is None else model.stage.encode(rows, rng=Rng(0))
    model(rows, 0.5)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or done == 0:
        model(rows, 0.5)
        done += len(rows)
    return done / (time.perf_counter() - began)


class Clock:
    """A budget's seconds shared among `pieces` of work, each getting an equal share of what is left when it begins."""

    def __init__(self, seconds: float, pieces: float) -> None:
        self.ends, self.pieces = time.monotonic() + seconds, pieces

    def share(self, of: int = 1) -> float:
        """Seconds for the next `of` pieces together; 0 where none are left."""
        return max(0.0, self.ends - time.monotonic()) * min(1.0, of / max(1, self.pieces))

    def done(self) -> None:
        """One piece is."""
        self.pieces -= 1
