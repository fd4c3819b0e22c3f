"""`diagnose`: why samples are noise, black, tinted, collapsed or exploding, from what a run left on disk.

Each rule looks at one cause and names the figure and the option that mends it. What a fault explains is not reported
again as another one: rules run from the data over the weights to the length of the run.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from reverie.evaluation.patient import Health, Patient, profile, profile_of
from reverie.evaluation.verdict import Finding

USUAL_RATE = 2e-3


def diagnose(path: str | Path, *, seed: int = 0, data: str | None = None) -> list[Finding]:
    """Every fault found, causes first; a single finding `healthy` if there is none. Raises UserError for no run.

    `data` says where the run's data lie now, if they have moved.
    """
    patient = Patient(path, seed=seed, data=data)
    found = [f for rule in (_data, _moved, _weights, _rate_in_log) if (f := rule(patient))]
    if not found and patient.fits and (patient.logged() or 0) > 0:
        found = [f for f in [_by_loss(patient)] if f]
    if not found and patient.fits:
        found = list(_by_samples(patient))
    return found or [Finding("healthy", _healthy(patient), "reverie evaluate says how good the model is")]


def _data(patient: Patient) -> Finding | None:
    """Data that cannot be learnt from, or that fill a corner of their range."""
    if patient.refusal:
        name = "NaN rows" if "NaN" in patient.refusal or "infinite" in patient.refusal else "data"
        if "every value is" in patient.refusal:
            name = "constant data"
        advice = "mend the data; 'reverie check PATH' names the places; if they have moved: --data PATH"
        return Finding(name, patient.refusal, advice)
    assert patient.dataset is not None
    spec, rows = patient.dataset.spec, patient.dataset.rows(patient.indices()[0][:500]).double()
    between = float(rows.std(0).square().mean().sqrt()) if len(rows) > 1 else 0.0
    if between < 1e-3 * max(spec.std, 1e-12):
        return Finding(
            "constant data", "all examples are the same", "give more than one example: see 'reverie check PATH'"
        )
    if spec.scale.low is not None and spec.std < 0.05:
        figure = f"values spread by {spec.std:.3g} where the range they are stored for is −1 … 1"
        return Finding("data range", figure, "scale the values to the range of their type, or store them as floats")
    return None


def _moved(patient: Patient) -> Finding | None:
    """The data at the source are other than those trained on: channels swapped, or another range."""
    if patient.dataset is None:
        return None
    then, now = patient.spec, patient.dataset.spec
    if then.shape != now.shape:
        return Finding(
            "data", f"the data are {now.shape} now, and were {then.shape}", "name the right data: --data PATH"
        )
    if (swap := _swapped(profile(then), profile(now), exact=True)) is not None:
        return Finding(
            "swapped channels", f"the data's channels now come in the order {swap}", "mend the data's channels"
        )
    off = abs(now.std / max(then.std, 1e-12) - 1) > 0.2
    other = max((abs(a - b) / max(then.std, 1e-12) for a, b in zip(then.mean, now.mean, strict=False)), default=0.0)
    limits = (then.scale.center, then.scale.spread) != (now.scale.center, now.scale.spread)
    stretched = limits and max(_ratio(a, b) for a, b in zip(then.scale.spread, now.scale.spread, strict=False)) > 1.5
    if off or other > 0.3 or stretched:
        figure = (
            f"the data's mean and spread are {now.mean[0]:.3g} and {now.std:.3g} (unit {now.scale.spread[0]:.3g}), "
            f"trained on were {then.mean[0]:.3g} and {then.std:.3g} (unit {then.scale.spread[0]:.3g})"
        )
        return Finding("data range", figure, "bring the data to the range they had, or train again")
    assumed = patient.config["denoiser"].get("data_std")
    if assumed and _ratio(assumed, then.std) > 2:
        figure = f"the network is told a spread of {assumed:g}; the data's is {then.std:.3g}"
        return Finding("data range", figure, f"--denoiser.data_std {then.std:.3g}")
    return None


def _ratio(a: float, b: float) -> float:
    low, high = sorted((abs(a), abs(b)))
    return high / max(low, 1e-12)


Moments = tuple[list[float], list[float]]  # mean and spread of each channel


def _swapped(was: Moments, now: Moments, *, exact: bool = False) -> tuple[int, ...] | None:
    """The order of channels that makes `now` like `was`, where that is not the order they have.

    `exact`: both are of all the data, so that small differences count where another order leaves next to none.
    """
    channels, (apart, left) = len(was[0]), (0.02, 0.05) if exact else (0.3, 0.3)
    if not 1 < channels <= 4 or len(now[0]) != channels:
        return None

    def gap(order: tuple[int, ...]) -> float:
        return sum(abs(side[0][i] - side[1][j]) for side in zip(was, now, strict=True) for i, j in enumerate(order))

    same, scale = tuple(range(channels)), sum(was[1]) / channels
    best = min(itertools.permutations(same), key=gap)
    return best if best != same and gap(same) > apart * scale and gap(best) < left * gap(same) else None


def _weights(patient: Patient) -> Finding | None:
    """Weights that are not finite, an average that is cold, a parametrisation that is not the one trained."""
    if patient.model is None:
        name = "NaN weights" if "finite" in patient.unreadable or "NaN" in patient.unreadable else "unreadable model"
        return Finding(name, patient.unreadable, "take an older checkpoint: RUN/checkpoints/step-N")
    trained, used = patient.config, patient.model.config
    for section in ("process", "schedule", "prediction", "denoiser"):
        if trained[section] != used[section]:
            figure = (
                f"the model says {section} {_said(used[section])}, the run was trained with {_said(trained[section])}"
            )
            return Finding(f"{section} mismatch", figure, f"put the run's [{section}] into RUN/model/config.json")
    return None


def _said(entry: dict[str, object]) -> str:
    options = ", ".join(f"{k} {v}" for k, v in entry.items() if k != "name")
    return f"{entry['name']}" + (f" ({options})" if options else "")


def _by_loss(patient: Patient) -> Finding | None:
    """The loss of the weights now against the one that training logged for them."""
    assert patient.model is not None
    logged, (now, gap) = patient.logged(), patient.look(patient.model)
    raw, raw_gap = patient.look(patient.raw) if patient.raw is not None else (math.inf, math.inf)
    # the same examples, times and noise as then, unless the loss's times follow what was seen
    if now <= 1.15 * raw and gap <= (0.25 if patient.remembers else 0.03):
        return None
    figure = f"held-out loss {now:.4g}; training logged {logged:.4g}"
    if raw_gap < 0.5 * gap or (raw < now / 1.15 and patient.config["training"].get("ema")):
        advice = "a shorter average: --training.ema 0.05; or average from the start of training"
        return Finding("cold average", f"{figure}, and the weights without averaging have {raw:.4g}", advice)
    figure += f", {100 * gap:.2g} % apart at some noise level"
    found = patient.matching(min(0.05, gap / 3))
    if found is None:
        return Finding("weights", figure, "the weights are not those that were trained: take RUN/checkpoints/step-N")
    section, name = found
    figure += f"; the weights fit {section} {name}, and the files say {patient.config[section]['name']}"
    return Finding(f"{section} mismatch", figure, f"--{section} {name}")


def _rate_in_log(patient: Patient) -> Finding | None:
    """A learning rate so high that the loss ended well above its best, or rose above its start."""
    losses = patient.losses()
    if len(losses) < 40:
        return None
    width = max(10, len(losses) // 20)
    smooth = [statistics.median(losses[k : k + width]) for k in range(0, len(losses) - width + 1, width)]
    start, best, end, rate = smooth[0], min(smooth), smooth[-1], patient.config["training"]["learning_rate"]
    spiked = max(smooth) > 3 * statistics.median(losses[:5])
    if not (end > 1.5 * best or end > 1.2 * start or spiked):
        return None
    figure = f"with learning rate {rate:g} the loss went from {start:.3g} over {best:.3g} to {end:.3g}"
    return Finding("learning rate", figure, f"--training.learning_rate {min(rate / 5, USUAL_RATE):.2g}")


def _by_samples(patient: Patient) -> Iterator[Finding]:
    samples = patient.draw()
    if not bool(torch.isfinite(samples).all()):
        yield Finding("exploding", "samples are not finite", "more sampling steps, or --training.precision fp32")
        return
    if (swap := _swapped(profile(patient.spec), profile_of(samples))) is not None:
        yield Finding("swapped channels", f"the samples' channels come in the order {swap}", "see 'reverie check PATH'")
        return
    health = patient.health(samples)
    if not health.apart:
        return
    rules: list[Callable[[Patient, Tensor, Health], Finding | None]] = [_sampling, _unused_average, _updates]
    yield next(f for rule in rules if (f := rule(patient, samples, health)))


def _sampling(patient: Patient, samples: Tensor, health: Health) -> Finding | None:
    assert patient.model is not None
    steps = int(patient.model.config["sampling"]["steps"])
    longer = max(20, 4 * steps)
    again = patient.draw(longer)
    better = patient.health(again).distance.value if bool(torch.isfinite(again).all()) else math.inf
    if better - health.floor.value > 0.5 * (health.distance.value - health.floor.value):
        return None
    figure = f"energy distance {health.distance.value:.3g} in {steps} steps, {better:.3g} in {longer}"
    return Finding("too few sampling steps", figure, f"--steps {longer}")


def _unused_average(patient: Patient, samples: Tensor, health: Health) -> Finding | None:
    if patient.config["training"].get("ema", 0.1):
        return None
    figure = f"samples are drawn with the last update's weights; {_symptom(patient, samples)}"
    return Finding("unused average", figure, "--training.ema 0.1")


def _updates(patient: Patient, samples: Tensor, health: Health) -> Finding:
    """What is left: a rate so low that nothing moved, or a run that ended early."""
    losses, training = patient.losses(), patient.config["training"]
    rate, updates = training["learning_rate"], max((e["step"] for e in patient.log), default=0)
    gap = f"energy distance {health.distance.value:.3g}, of real data {health.floor.value:.2g}"
    gap += f"; {_symptom(patient, samples)}"
    if rate < USUAL_RATE / 20 and losses:
        width = max(1, len(losses) // 10)
        start, end = statistics.median(losses[:width]), statistics.median(losses[-width:])
        figure = f"with learning rate {rate:g} the loss went from {start:.3g} to {end:.3g}; {gap}"
        return Finding("learning rate", figure, f"--training.learning_rate {USUAL_RATE:g}")
    return Finding("too few updates", f"{updates} updates; {gap}", "train longer: reverie train --resume RUN --steps N")


def _symptom(patient: Patient, samples: Tensor) -> str:
    """What the samples look like, in one word and its figure."""
    spread, mean = float(samples.double().std()), float(samples.double().mean())
    wanted = max(patient.spec.std, 1e-12)
    if spread > 2 * wanted:
        return f"samples explode: spread {spread:.3g} for {wanted:.3g}"
    if spread < 0.4 * wanted:
        return f"samples collapse: spread {spread:.3g} for {wanted:.3g}"
    offsets = [m - w for m, w in zip(profile_of(samples)[0], patient.spec.mean, strict=False)]
    worst = max(offsets, key=abs, default=0.0)
    if abs(worst) > 0.3 * wanted:
        tint = "too bright" if worst > 0 else "too dark"
        return f"samples are {tint} in channel {offsets.index(worst)}: off by {worst:.2g}"
    return f"samples have mean {mean:.2g} and spread {spread:.2g}, as the data"


def _healthy(patient: Patient) -> str:
    logged = patient.logged()
    return "data, log, weights and samples agree" + (f"; held-out loss {logged:.4g}" if logged is not None else "")
