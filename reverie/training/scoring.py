"""What data cost under a trained model: which likelihood suits it, and the result by example.

Data on levels are scored as probabilities of levels (bits per dimension of the data themselves), data without levels
as densities in model units. A labelled model is asked with the labels: the cost is −log p(x_0 | label).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
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
    join,
    learn_knots,
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


def likelihood_for(
    model: Model, method: str, effort: Effort, *, v: float | None = None, knots: tuple[float, ...] = ()
) -> Likelihood:
    """The method, set up for this model and its data. Raises UserError for an unknown method.

    `knots` are the schedule by which 'vlb' draws log SNR (`learned_schedule`). Of a model of codes it is a bound for
    the data, whatever the method: the autoencoder's terms are among it.
    """
    likelihood = _of_seen(model, method, effort, v=v, knots=knots)
    return likelihood if model.stage is None else Encoded(likelihood, model.stage)


def _of_seen(model: Model, method: str, effort: Effort, *, v: float | None, knots: tuple[float, ...]) -> Likelihood:
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
        return Vlb(terms=effort.terms, first=first_log_snr(model), knots=knots, decoder=decoder)
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


def learned_schedule(model: Model, dataset: Dataset, index: Tensor, *, seed: int = 0) -> tuple[float, ...]:
    """VDM's learned schedule: falling knots of log SNR with which the continuous bound of such data varies least.

    Measured on 32 of the examples at 64 levels. Raises UserError for a process without a schedule.
    """
    if not isinstance(model.process, Gaussian):
        raise UserError(f"a schedule is learned for a Gaussian process, not {model.config['process']['name']}")
    device, some = next(model.parameters()).device, choose(index, 32, seed)
    x0, given, rng = dataset.rows(some).to(device), condition_of(dataset, some, device), Rng(seed).fork("schedule")
    x0 = x0 if model.stage is None else model.stage.encode(x0, rng=rng.fork("code"))
    bound = model if given is None else model.given(given)
    return learn_knots(bound, x0, rng=rng, first=first_log_snr(model), count=16, levels=64)


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
    seconds: float | None = None,
    chunk: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Part:
    """The cost of these examples, or with `seconds` of as many of the first as there is time for, a chunk at least.

    The same examples and seed give the same numbers (to rounding, where `chunk` differs). Raises UserError for none.
    """
    if not len(index):
        raise UserError(f"there are no {name} examples to score")
    device = next(model.parameters()).device
    chunk = chunk or chunk_of(model)
    rows, bounds, began, done = [], [], time.monotonic(), 0
    for some in index.split(chunk):
        x0 = dataset.rows(some).to(device)
        given, rng = condition_of(dataset, some, device), Rng(seed).fork("likelihood")
        bounds.append(evaluate(likelihood, model, x0, rng=rng, chunk=chunk, condition=given, numbers=some))
        rows.append(x0.cpu())
        done += len(some)
        if progress:
            progress(done)
        if seconds is not None and (time.monotonic() - began) * (done + chunk / 2) / done > seconds:
            break
    return Part(name, index[:done], torch.cat(rows), join(bounds))


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
    """`count` of the examples as they are drawn by seed: the first of more are those of fewer."""
    return index[torch.argsort(Rng(seed).fork("which").uniform(len(index)))[:count]]


def rows_of(part: Part) -> list[dict[str, Any]]:
    """One row per example in their own order: number, nats, bits per dimension, error, each term and detail."""
    bound = part.bound
    bits, total, error = bound.bits_per_dim(), bound.total, bound.error
    rows = []
    for k in part.index.argsort().tolist():
        row: dict[str, Any] = {"part": part.name, "example": int(part.index[k])}
        row |= {"bits_per_dim": float(bits[k]), "nats": float(total[k]), "error_nats": float(error[k])}
        row |= {name: float(term[k]) for name, term in bound.terms.items()}
        row |= {name: float(detail[k]) for name, detail in bound.details.items()}
        rows.append(row)
    return rows
