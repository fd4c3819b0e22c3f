"""A verdict in plain words, with the figure that says so and what to try.

Each rule compares samples with held-out data at the noise of both, so that fresh real data in the samples' place pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.data import Spec
from reverie.evaluation.measures import Measure
from reverie.metrics import Copies, Modes

CERTAIN = 4.0  # standard errors
BLOCK = 2048  # examples looked at together
FLAT = 1e-3  # variance below which a picture has no detail to speak of
HEADLINES = {
    "good": "No fault found",
    "memorising": "It copies its training examples",
    "shifted": "Its samples are shifted",
    "mode-dropping": "It leaves out kinds of data",
    "blurred": "Its samples are blurred",
    "overfitting": "It was trained for too long",
    "undertrained": "It was not trained for long enough",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its name, the figure that says so, and what to try."""

    name: str
    figure: str
    advice: str


def judge(
    samples: Tensor,
    held_out: Tensor,
    found: dict[str, Measure],
    copies: Copies | None,
    *,
    modes: Modes | None = None,
    held_curve: Sequence[float] = (),
    pictures: bool = False,
    spec: Spec | None = None,
) -> list[Finding]:
    """Everything that is wrong, causes before what they bring about; a single finding `good` if nothing is.

    With the `spec` of the data, figures have their units and the names of their columns.
    """
    blurred = _blurred(samples, held_out) if pictures else None
    findings = [
        _memorising(copies, len(samples), len(held_out)),
        blurred,
        _shifted(samples, held_out, 1 if blurred else 2, spec),
        _dropped(modes),
        _overfitting(held_curve),
        _undertrained(found, held_curve),
    ]
    kept = [finding for finding in findings if finding is not None]
    return kept or [_good(found)]


def _good(found: dict[str, Measure]) -> Finding:
    """Nothing found: the figures closest to what was looked for."""
    energy, coverage = found["energy"], found["coverage"]
    figure = (
        f"no fault is certain at this number of samples: energy distance {energy.value.value:.2g} "
        f"(real data {energy.floor.value:.2g}, a Gaussian {energy.baseline:.2g}), "
        f"coverage {coverage.value.value:.2f} (real data {coverage.floor.value:.2f})"
    )
    return Finding("good", figure, "nothing; a larger --count sees smaller faults")


def _memorising(copies: Copies | None, count: int, held: int) -> Finding | None:
    if copies is None or not held or math.isnan(copies.held_out):
        return None
    pooled = (copies.samples * count + copies.held_out * held) / (count + held)
    error = math.sqrt(max(pooled * (1 - pooled), 1 / (count + held)) * (1 / count + 1 / held))
    if copies.samples - copies.held_out < max(CERTAIN * error, 0.02):
        return None
    figure = (
        f"{100 * copies.samples:.1f} % of samples nearly copy a training example, "
        f"{100 * copies.held_out:.1f} % of held-out data do"
    )
    return Finding("memorising", figure, "train for fewer updates, on more data, or a smaller network")


def _shifted(samples: Tensor, held_out: Tensor, looked_at: int, spec: Spec | None) -> Finding | None:
    """Channel means or contrasts that differ by more than the noise and a tenth of the spread; single numbers have a
    spread in the place of a contrast: the mean distance from the middle.
    """
    for channel in range(samples.shape[1]):
        x, y = (side[:, channel].double().reshape(len(side), -1) for side in (samples, held_out))
        wide, spread = x.shape[1] > 1, float(y.std())
        of = [(side.mean(1), side.std(1, correction=0) if wide else side.mean(1).abs()) for side in (x, y)]
        for k, what in enumerate(("mean", "contrast" if wide else "spread")[:looked_at]):
            a, b = of[0][k], of[1][k]
            error = float((a.var() / len(a) + b.var() / len(b)).sqrt())
            gap = float(a.mean() - b.mean())
            if abs(gap) > max(CERTAIN * error, 0.1 * spread):
                name, center, unit = _units(spec, channel)
                own, real = (unit * float(side.mean()) + (center if k == 0 else 0.0) for side in (a, b))
                figure = f"the {what} of {name} is {own:.4g}, of held-out data {real:.4g}"
                return Finding("shifted", figure, "train longer, take more sampling steps, or lower a guidance scale")
    return None


def _units(spec: Spec | None, channel: int) -> tuple[str, float, float]:
    """A channel's name, and what is 0 and 1 in model units in its own."""
    if spec is None:
        return f"channel {channel}", 0.0, 1.0
    named = len(spec.columns) == len(spec.mean) and spec.columns
    place = channel if len(spec.scale.center) > 1 else 0
    name = f"column '{spec.columns[channel]}'" if named else f"channel {channel}"
    return name, spec.scale.center[place], spec.scale.spread[place]


def _dropped(modes: Modes | None) -> Finding | None:
    """A kind of real data that samples have less than half as often, beyond chance."""
    if modes is None:
        return None
    lacking = (modes.z < -CERTAIN) & (modes.samples < 0.5 * modes.real)
    if not lacking.any():
        return None
    real, own = float(modes.real[lacking].sum()), float(modes.samples[lacking].sum())
    figure = f"kinds that are {100 * real:.1f} % of real data are {100 * own:.1f} % of the samples"
    return Finding("mode-dropping", figure, "train longer, lower the guidance scale, or use --balance")


def _blurred(samples: Tensor, held_out: Tensor) -> Finding | None:
    """Less energy in differences of neighbouring pixels than real pictures of the same contrast have."""
    rough = [_roughness(side) for side in (samples, held_out)]
    error = math.hypot(*(float(r.std()) / len(r) ** 0.5 for r in rough))
    ratio = float(rough[0].mean() / rough[1].mean())
    if ratio > 0.8 or float(rough[1].mean() - rough[0].mean()) < CERTAIN * error:
        return None
    figure = f"neighbouring pixels differ by {100 * ratio:.0f} % of what they do in real pictures of like contrast"
    return Finding("blurred", figure, "train longer, take more sampling steps, or predict v or f instead of x0")


def _roughness(x: Tensor) -> Tensor:
    """The mean square difference of neighbouring pixels in units of the picture's variance, by example (N,)."""

    def of(part: Tensor) -> Tensor:
        along = [torch.diff(part, dim=d).square().flatten(1).mean(1) for d in range(2, part.dim())]
        return torch.stack(along).sum(0) / part.flatten(1).var(1).clamp_min(FLAT)

    return torch.cat([of(part.double()) for part in x.split(BLOCK)])


def _overfitting(curve: Sequence[float]) -> Finding | None:
    if len(curve) < 3 or curve[-1] < 1.03 * min(curve):
        return None
    figure = f"the held-out loss rose from {min(curve):.4g} to {curve[-1]:.4g}"
    return Finding("overfitting", figure, "stop earlier: --training.patience 2")


def _undertrained(found: dict[str, Measure], curve: Sequence[float]) -> Finding | None:
    """Far from real data: closer to the Gaussian fit than to the floor, or told apart and still learning."""
    energy, test = found["energy"], found["two-sample"]
    halfway = energy.value.value > 0.5 * (energy.floor.value + energy.baseline) and energy.excess > CERTAIN
    learning = len(curve) >= 2 and curve[-1] < 0.97 * curve[-2] and test.excess > CERTAIN
    if not (halfway or learning):
        return None
    others = f"real data {energy.floor.value:.3g}, a Gaussian {energy.baseline:.3g}"
    figure = f"energy distance {energy.value.value:.3g}; {others}"
    return Finding("undertrained", figure, "train longer: reverie train --resume RUN --steps N")
