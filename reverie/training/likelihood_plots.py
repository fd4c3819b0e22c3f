"""Curves of what data cost: terms of a bound by time, rate against distortion, entropies of the reverse steps.

Each is a picture and its numbers, which go into one file, `curves.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from reverie import pictures
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.denoisers import gaussian
from reverie.likelihoods import Bound, Elbo, Likelihood, entropy_bounds, rate_distortion, reverse_entropy
from reverie.processes import Gaussian
from reverie.training import artefacts
from reverie.training.model import Model
from reverie.training.scoring import Part

TIME = "t (0 = data, 1 = noise)"
RATES = 24  # points of the curve of rate against distortion
Result = tuple[str, Likelihood, Sequence[Part]]  # a method's name, the method, and the cost of each part


@dataclass(frozen=True)
class Plot:
    """Lines (x, y) by name with the axes' words; `beside` holds further columns that belong to the points."""

    x: str
    y: str
    series: Mapping[str, tuple[list[float], list[float]]]
    beside: Mapping[str, list[float]] = field(default_factory=dict)

    def render(self) -> bytes:
        """A PNG file."""
        return pictures.render(pictures.curves(self.series, x=self.x, y=self.y))


def files_of(model: Model, results: Sequence[Result], *, evaluations: float) -> dict[str, bytes]:
    """Terms by time, rate against distortion and entropies by step, the most and least likely of the first part.

    By name of the file. Curves that need the network again take about so many `evaluations`, of 4 to 64 examples.
    """
    plots, first = {}, results[0][2][0]
    for method, likelihood, parts in results:
        if all(part.bound.curve is not None for part in parts):
            plots[f"terms-{method}"] = terms({part.name: part.bound for part in parts})
        if isinstance(likelihood, Elbo) and isinstance(model.process, Gaussian):
            each = 2 * (likelihood.terms or likelihood.steps) + RATES
            examples = min(64, max(4, int(evaluations / each)))
            plots["rate-distortion"] = tradeoff(model, likelihood, first.x0[:examples])
            plots["entropy"] = entropy(model, likelihood, first.x0[: min(8, examples)])
    drawn = {f"{name}.png": plot.render() for name, plot in plots.items()}
    order = first.bound.total.argsort()
    for name, rows in (("most-likely.png", order[:64]), ("least-likely.png", order.flip(0)[:64])):
        drawn[name] = artefacts.sheet(first.x0[rows], model.spec, first.x0)
    if plots:
        numbers = {name: asdict(plot) for name, plot in plots.items()}
        drawn["curves.json"] = json.dumps(numbers, indent=1, ensure_ascii=False).encode() + b"\n"
    return drawn


def terms(bounds: Mapping[str, Bound], *, bands: int = 40) -> Plot:
    """Bits per dimension spent in each band of t, for each named bound with a curve."""
    series = {}
    for name, bound in bounds.items():
        if bound.curve is None:
            continue
        t, nats = bound.curve.t.flatten(), bound.curve.nats.flatten()
        count = min(bands, max(4, bound.curve.t.shape[1] // 2))
        band = (t * count).long().clamp(0, count - 1)
        spent = torch.zeros(count, dtype=torch.float64).index_add(0, band, nats.to(torch.float64))
        bits = bits_per_dim(spent / len(bound.curve.t), bound.dimensions)
        middle = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        series[name] = (middle.tolist(), bits.tolist())
    return Plot(TIME, "bits per dimension in the band", series)


def tradeoff(model: Model, elbo: Elbo, x0: Tensor, *, seed: int = 0) -> Plot:
    """Distortion (root mean square error in the data's own units) against rate of progressive decoding, t beside.

    The model is asked without labels, as a receiver who has none.
    """
    device = next(model.parameters()).device
    found = rate_distortion(elbo, model, x0.to(device), rng=Rng(seed).fork("rate"), points=RATES)
    spread = sum(model.spec.scale.spread) / len(model.spec.scale.spread)
    name = "progressive decoding"
    series = {name: (found.rate.tolist(), (found.distortion * spread).tolist())}
    return Plot("rate, bits per dimension", "distortion, RMSE in the data's units", series, {"t": found.t.tolist()})


def entropy(model: Model, elbo: Elbo, x0: Tensor, *, steps: int = 50, seed: int = 0) -> Plot:
    """The entropy of reverse steps with the bound's variance between its own bounds, nats per dimension by time.

    Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.6.
    """
    device = next(model.parameters()).device
    low, high = entropy_bounds(gaussian(model), steps)
    own = reverse_entropy(model, x0.to(device), steps=steps, rng=Rng(seed).fork("entropy"), v=elbo.v) / x0[0].numel()
    t = (torch.arange(2, steps + 1, dtype=torch.float64) / steps).tolist()
    series = {
        "forward step (variance β)": (t, high.tolist()),
        "bridge (variance β̃)": (t, low.tolist()),
        "the model's reverse step": (t, own.tolist()),
    }
    return Plot(TIME, "entropy, nats per dimension", series)
