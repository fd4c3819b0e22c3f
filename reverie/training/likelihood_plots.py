"""Pictures of what data cost: terms of a bound by time, rate against distortion, entropies of the reverse steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

RATES = 24  # points of the curve of rate against distortion
Result = tuple[str, Likelihood, Sequence[Part]]  # a method's name, the method, and the cost of each part


def pictures_of(model: Model, results: Sequence[Result], *, evaluations: float) -> dict[str, bytes]:
    """Terms by time, rate against distortion and entropies by step, the most and least likely of the first part.

    By name of the file. Curves that need the network again take about so many `evaluations`, of 4 to 64 examples.
    """
    drawn, first = {}, results[0][2][0]
    for method, likelihood, parts in results:
        if all(part.bound.curve is not None for part in parts):
            drawn[f"terms-{method}.png"] = terms({part.name: part.bound for part in parts})
        if isinstance(likelihood, Elbo) and isinstance(model.process, Gaussian):
            each = 2 * (likelihood.terms or likelihood.steps) + RATES
            examples = min(64, max(4, int(evaluations / each)))
            drawn["rate-distortion.png"] = tradeoff(model, likelihood, first.x0[:examples])
            drawn["entropy.png"] = entropy(model, first.x0[: min(8, examples)])
    order = first.bound.total.argsort()
    for name, rows in (("most-likely.png", order[:64]), ("least-likely.png", order.flip(0)[:64])):
        drawn[name] = artefacts.sheet(first.x0[rows], model.spec, first.x0)
    return drawn


def terms(bounds: Mapping[str, Bound], *, bands: int = 40) -> bytes:
    """Bits per dimension spent in each band of t, for each named bound with a curve, as a PNG file."""
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
    return pictures.render(pictures.curves(series, x="t (0 = data, 1 = noise)", y="bits per dimension in the band"))


def tradeoff(model: Model, elbo: Elbo, x0: Tensor, *, seed: int = 0) -> bytes:
    """Distortion (root mean square error in the data's own units) against rate of progressive decoding, as a PNG file.

    The model is asked without labels, as a receiver who has none.
    """
    device = next(model.parameters()).device
    found = rate_distortion(elbo, model, x0.to(device), rng=Rng(seed).fork("rate"), points=RATES)
    spread = sum(model.spec.scale.spread) / len(model.spec.scale.spread)
    name = "progressive decoding"
    series = {name: (found.rate.tolist(), (found.distortion * spread).tolist())}
    return pictures.render(
        pictures.curves(series, x="rate, bits per dimension", y="distortion, RMSE in the data's units")
    )


def entropy(model: Model, x0: Tensor, *, steps: int = 50, seed: int = 0) -> bytes:
    """The entropy of the model's reverse steps between its bounds, nats per dimension by time, as a PNG file.

    Reference: Sohl-Dickstein et al. 2015, arXiv:1503.03585, section 2.6.
    """
    device = next(model.parameters()).device
    low, high = entropy_bounds(gaussian(model), steps)
    own = reverse_entropy(model, x0.to(device), steps=steps, rng=Rng(seed).fork("entropy")) / x0[0].numel()
    t = (torch.arange(2, steps + 1, dtype=torch.float64) / steps).tolist()
    series = {
        "forward step (variance β)": (t, high.tolist()),
        "the model's reverse step": (t, own.tolist()),
        "bridge (variance β̃)": (t, low.tolist()),
    }
    return pictures.render(pictures.curves(series, x="t (0 = data, 1 = noise)", y="entropy, nats per dimension"))
