"""What data cost under a trained model: which likelihood suits it, what a time budget buys, and the result by example.

Data on levels are scored as probabilities of levels (bits per dimension of the data themselves), data without levels
as densities in model units. A labelled model is asked with the labels: the cost is −log p(x_0 | label).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reverie.core.errors import UserError, unknown
from reverie.core.rng import Rng
from reverie.core.units import level_width
from reverie.data import Dataset
from reverie.denoisers import Condition, gaussian
from reverie.denoisers.decoder import Continuous, Decoder, Discretised, Posterior
from reverie.likelihoods import (
    Bound,
    Dequantised,
    Elbo,
    Encoded,
    Exact,
    Hutchinson,
    Importance,
    Likelihood,
    Ode,
    Vlb,
    evaluate,
)
from reverie.likelihoods.solvers import Adaptive
from reverie.processes import Gaussian
from reverie.training.model import Model

METHODS = ("elbo", "vlb", "ode", "importance")
EXACT_UP_TO = 16  # dimensions for which the divergence is taken exactly
PATHS = 100  # steps of a trajectory of the importance bound


@dataclass(frozen=True)
class Effort:
    """How much is spent: examples, and per example terms of a bound, probes of a divergence, particles of a path."""

    count: int
    terms: int = 32
    probes: int = 2
    particles: int = 8

    def evaluations(self, method: str, exact: bool) -> float:
        """About how many evaluations of the network an example takes (a backward pass counts as two)."""
        return {
            "elbo": self.terms + 2,
            "vlb": self.terms + 2,
            "ode": 2 * 90 * (3 if exact else 1 + 2 * self.probes),
            "importance": PATHS * self.particles,
        }[method]


@dataclass(frozen=True)
class Part:
    """Examples of one kind ("held-out", "training", a file's name): numbers (N,), data (N, *D), and their cost."""

    name: str
    index: Tensor
    x0: Tensor
    bound: Bound

    def mean(self) -> tuple[float, float]:
        """Bits per dimension over the examples and its standard error, which holds the sampling's own."""
        bits = self.bound.bits_per_dim()
        return float(bits.mean()), float(bits.std() / math.sqrt(len(bits))) if len(bits) > 1 else math.nan


def steps_of(model: Model) -> int:
    """T of the model's own bound: what its variance was learnt for, or its schedule's table has, or 1000."""
    learned = model.config["denoiser"].get("steps") if model.config["denoiser"].get("learned_std") else None
    return int(learned or model.config["schedule"].get("steps") or model.config["denoiser"].get("steps") or 1000)


def decoder_of(model: Model) -> Decoder:
    """Levels of a normal, its density, or what the denoiser itself states where no Gaussian noise is added."""
    if getattr(model.process, "schedule", None) is None:
        return Posterior()
    bins = model.seen.scale.bins
    return Discretised(bins) if bins else Continuous()


def likelihood_for(model: Model, method: str, effort: Effort, *, v: float | None = None) -> Likelihood:
    """The method, set up for this model and its data. Raises UserError for an unknown method.

    Of a model of codes it is a bound for the data, whatever the method: the autoencoder's terms are among it.
    """
    likelihood = _of_seen(model, method, effort, v=v)
    return likelihood if model.stage is None else Encoded(likelihood, model.stage)


def _of_seen(model: Model, method: str, effort: Effort, *, v: float | None) -> Likelihood:
    """The method for what the denoiser sees."""
    decoder, bins = decoder_of(model), model.seen.scale.bins
    plain = isinstance(model.process, Gaussian)
    if not plain and method in ("vlb", "ode"):
        raise UserError(
            f"method '{method}' needs a Gaussian process, not {model.config['process']['name']}; use 'elbo'"
        )
    if v is None and plain and not model.config["denoiser"].get("learned_std"):
        v = 1.0  # a network that states no spread: the larger of the two fixed variances, as published
    if method == "elbo":
        steps = steps_of(model)
        return Elbo(steps=steps, terms=min(effort.terms, steps - 1), v=v, decoder=decoder)
    if method == "vlb":
        return Vlb(terms=effort.terms, first=first_log_snr(model), decoder=decoder)
    if method == "importance":
        return Importance(steps=PATHS, particles=effort.particles, v=v, decoder=decoder)
    if method == "ode":
        exact = model.seen.dimensions <= EXACT_UP_TO
        ode = Ode(Exact() if exact else Hutchinson(effort.probes), Adaptive(1e-3))
        return Dequantised(ode, bins=bins) if bins else ode
    raise unknown("method", method, METHODS)


def first_log_snr(model: Model) -> float:
    """λ_0 at which x_0 is read: noise of a sixth of a level, 13.3 without levels; not beyond the times trained on."""
    bins, schedule = model.seen.scale.bins, gaussian(model).schedule
    wanted = -2 * math.log(level_width(bins) / 6) if bins else 13.3
    times = model.config["times"]
    trained = 1 / int(times.get("steps", 1000)) if times["name"] == "discrete" else 1e-5
    return min(wanted, float(schedule.log_snr(trained)))


def within(model: Model, method: str, seconds: float, available: int, rate: float) -> Effort:
    """The effort that `seconds` buy at `rate` evaluations a second.

    Up to 1000 examples come first, since the spread between examples is usually the larger part of the error; what is
    left goes into each example.
    """
    exact = model.seen.dimensions <= EXACT_UP_TO
    afford = seconds * rate
    least = Effort(1, terms=16, particles=4)
    count = max(4, min(available, 1000, int(afford / least.evaluations(method, exact))))
    each = afford / count
    if method in ("elbo", "vlb"):
        return replace(least, count=count, terms=max(4, min(steps_of(model) - 1, 256, int(each) - 2)))
    if method == "importance":
        return replace(least, count=count, particles=max(2, min(64, int(each / PATHS))))
    return replace(least, count=count, probes=max(2, min(16, int((each / 180 - 1) / 2))))


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


def chunk_of(model: Model) -> int:
    """Examples computed together: a function of their shape alone."""
    return max(8, min(256, 1 << max(0, (100_000 // model.spec.dimensions).bit_length() - 1)))


def score(
    model: Model,
    dataset: Dataset,
    index: Tensor,
    likelihood: Likelihood,
    *,
    name: str,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Part:
    """The cost of these examples; the same examples and seed give the same numbers. Raises UserError for none."""
    if not len(index):
        raise UserError(f"there are no {name} examples to score")
    device = next(model.parameters()).device
    x0 = dataset.rows(index).to(device)
    bound = evaluate(
        likelihood,
        model,
        x0,
        rng=Rng(seed).fork("likelihood"),
        chunk=chunk_of(model),
        condition=condition_of(dataset, index, device),
        numbers=index,
        progress=progress,
    )
    return Part(name, index, x0.cpu(), bound)


def condition_of(dataset: Dataset, index: Tensor, device: torch.device) -> Condition | None:
    """The examples' own labels and conditions; None where the data have none."""
    label, numbers = dataset.labels(index), dataset.condition(index)
    if label is None and numbers is None:
        return None
    return Condition(None if label is None else label.to(device), None if numbers is None else numbers.to(device))


def like_data(
    dataset: Dataset, index: Tensor, count: int, *, seed: int, device: torch.device, first: int = 0
) -> Condition | None:
    """What samples number first, first + 1, … are asked for: labels and conditions of these examples as they occur.

    Samples of every class in equal number are no match for data in which classes are not.
    """
    order = Rng(seed).fork("asked").uniform(len(index)).argsort()
    return condition_of(dataset, index[order[torch.arange(first, first + count) % len(index)]], device)


def choose(index: Tensor, count: int, seed: int) -> Tensor:
    """`count` of the examples, drawn by seed, in their own order."""
    order = torch.argsort(Rng(seed).fork("which").uniform(len(index)))
    return index[order[:count].sort().values]


def rows_of(part: Part) -> list[dict[str, Any]]:
    """One row per example: number, nats, bits per dimension, error, each term and detail."""
    bound = part.bound
    bits, total, error = bound.bits_per_dim(), bound.total, bound.error
    rows = []
    for k, number in enumerate(part.index.tolist()):
        row: dict[str, Any] = {"part": part.name, "example": number}
        row |= {"bits_per_dim": float(bits[k]), "nats": float(total[k]), "error_nats": float(error[k])}
        row |= {name: float(term[k]) for name, term in bound.terms.items()}
        row |= {name: float(detail[k]) for name, detail in bound.details.items()}
        rows.append(row)
    return rows
