"""What a run shows: samples, their denoising over time, the curves, and the model's card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from reverie import networks, pictures
from reverie.core.tensors import expand
from reverie.data import Spec, is_picture, to_picture
from reverie.denoisers import Denoiser
from reverie.denoisers.prediction import input_scale
from reverie.training.model import Model, Walk

MOMENTS = 10  # frames of a denoising strip
STRIP = 8  # examples in it


def sheet_size(spec: Spec) -> int:
    """How many samples a sheet shows: whole rows with every class in them, or a cloud that shows its shape."""
    if is_picture(spec):
        classes = len(spec.classes)
        return classes * max(1, 64 // classes) if 1 < classes <= 16 else 64
    return {"points": 2000, "signal": 16}.get(spec.kind, 512)


def passing(model: Model) -> int | None:
    """Steps of a sheet drawn in passing: half as many where nothing is drawn on the way, None where as many as usual.

    Ten steps for twenty are as good on MNIST and Fashion-MNIST, and a sixth worse on CIFAR-10: `docs/benchmarks.md`.
    """
    walk = model.walk(1)
    steps = len(walk.times) - 1
    return None if walk.sampler.stochastic or steps <= 10 else steps // 2


def sheet(x: Tensor, spec: Spec, reference: Tensor) -> bytes:
    """A picture of samples x (N, *shape) in model units as a person would want to see this kind of data."""
    if is_picture(spec):
        columns = len(spec.classes) if 1 < len(spec.classes) <= 16 else 0
        return pictures.png(pictures.grid(to_picture(x, spec), columns=columns))
    letters = alphabet(spec)
    if letters:
        codes = spec.scale.decode(x[:16]).flatten(1).tolist()
        return pictures.render(pictures.writing(["".join(letters[code] for code in row) for row in codes]))
    native, real = (spec.scale.decode(v).double().numpy() for v in (x, reference))
    if spec.kind == "signal":
        return pictures.render(pictures.lines(native[:16], rate=spec.rate))
    if spec.shape == (2,):
        return pictures.render(pictures.clouds({"data": real[:2000], "samples": native}))
    flat, flat_real = native.reshape(len(native), -1), real.reshape(len(real), -1)
    names = spec.columns or [f"entry {i}" for i in range(flat.shape[1])]
    return pictures.render(pictures.histograms(flat, flat_real, names))


def alphabet(spec: Spec) -> str:
    """The letters that the data's codes 0, 1, … stand for; empty where they are no text."""
    letters = spec.extra.get("alphabet", "")
    return letters if isinstance(letters, str) and len(letters) == spec.scale.bins and spec.scale.low == 0 else ""


Frames = list[tuple[float, Tensor]]


def frames(
    model: Model,
    walk: Walk,
    *,
    label: str | int | None = None,
    seed: int = 0,
    moments: int = MOMENTS,
    wrap: Callable[[Denoiser], Denoiser] | None = None,
) -> Frames:
    """(t, x_t) along a walk; under a noise schedule x_t is scaled to the data's spread: x_t s/√(α²s² + σ²)."""
    std, schedule = model.seen.std, getattr(model.process, "schedule", None)
    steps = model.moments(walk, frames=moments, label=label, seed=seed, wrap=wrap)
    if schedule is None:
        return [(step.t, model.shown(step.x).cpu()) for step in steps]
    return [
        (step.t, model.shown(step.x * expand(input_scale(schedule, step.t, std) * std, step.x)).cpu()) for step in steps
    ]


def denoising(model: Model, *, seed: int) -> bytes:
    """The walk from noise to data, as the model samples by default."""
    walk = model.walk(strip_size(model.spec))
    return strip(frames(model, walk, seed=seed), model.spec)


def strip_size(spec: Spec) -> int:
    """How many examples a picture of denoising shows."""
    return STRIP if is_picture(spec) or spec.kind == "signal" else 1000


def strip(frames: Frames, spec: Spec) -> bytes:
    """Moments of a walk side by side, time from left to right."""
    if is_picture(spec):
        return pictures.png(pictures.filmstrip([to_picture(x, spec) for _, x in frames]))
    native = [(t, spec.scale.decode(x).double().numpy()) for t, x in frames]
    if spec.shape == (2,):
        return pictures.render(pictures.clouds({f"t = {t:.3g}": x for t, x in native}))
    if spec.kind == "signal":
        picked = native[:: max(1, len(native) // 6)]
        together = np.stack([x[i] for i in range(4) for _, x in picked])
        titles = [f"t = {t:.3g}" for t, _ in picked]
        return pictures.render(pictures.lines(together, titles=titles, columns=len(picked), rate=spec.rate))
    first = {f"t = {t:.3g}": x.reshape(len(x), -1)[:, :2] for t, x in native}
    return pictures.render(pictures.clouds(first))


def loss_curve(metrics: Iterable[dict[str, Any]]) -> bytes:
    """The training loss of every logged update, and the held-out loss of the averaged weights."""
    entries = list(metrics)
    train = [(e["step"], e["loss"]) for e in entries if "loss" in e]
    held = [(e["step"], e["held_out"]) for e in entries if e.get("held_out") is not None]
    series = {"training": _columns(train), "held out, averaged weights": _columns(held)}
    series = {name: curve for name, curve in series.items() if curve[0]}
    return pictures.render(pictures.curves(series, x="update", y="loss", smooth=True))


def _columns(pairs: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [float(pair[0]) for pair in pairs], [float(pair[1]) for pair in pairs]


def noise_levels(metrics: Iterable[dict[str, Any]]) -> bytes | None:
    """The held-out loss by time, at every preview of the run; None without held-out data."""
    series = {f"update {e['step']}": _columns(e["by_time"]) for e in metrics if e.get("by_time") and "mean" in e}
    if not series:
        return None
    return pictures.render(pictures.curves(series, x="t (0 = data, 1 = noise)", y="held-out loss"))


def moments(x: Tensor) -> tuple[list[float], list[float]]:
    """Mean and spread of each channel of x (N, C, …)."""
    flat = x.double().transpose(0, 1).reshape(x.shape[1], -1)
    return flat.mean(1).tolist(), flat.std(1, correction=0).tolist()


def drift(x: Tensor, spec: Spec) -> str:
    """A warning if a channel of the samples has parted from the data's: by a fifth of its spread and 5 standard errors.

    The error of a mean over N samples is taken from the samples' own per-example means.
    """
    mean, spread = moments(x)
    for c, (m, s, m0, s0) in enumerate(zip(mean, spread, spec.mean, spec.spread, strict=False)):
        own = x[:, c].double().reshape(len(x), -1).mean(1)
        error = float(own.std()) / len(x) ** 0.5 if len(x) > 1 else float("inf")
        if abs(m - m0) > max(0.2 * s0, 5 * error) or (s0 and not 0.6 < s / s0 < 1.6):
            return (
                f"channel {c} of the samples has parted from the data: mean {m:.3f} and spread {s:.3f}, "
                f"data {m0:.3f} and {s0:.3f} (model units)"
            )
    return ""


def _stage(model: Model) -> str:
    if model.stage is None:
        return ""
    codes = "×".join(map(str, model.stage.shape))
    return f" with those of {model.config['stage']['name']}, in whose codes of {codes} it works"


def card(model: Model, source: str) -> bytes:
    """The model's card: what it is, of what data, how it was made, how to use it, what it is not."""
    spec, config, summary = model.spec, model.config, model.summary
    shape = "×".join(map(str, spec.shape))
    classes = (
        f" in {len(spec.classes)} classes ({', '.join(spec.classes[:12])}{', …' if len(spec.classes) > 12 else ''})"
    )
    rows = [
        (
            "data",
            f"{source}: {summary.get('examples', '?')} training examples of {shape}{classes if spec.classes else ''}",
        ),
        ("process", f"{config['process']['name']}, schedule {config['schedule']['name']}"),
        ("network", f"{config['network']['name']}, {networks.parameters(model):,} parameters{_stage(model)}"),
        ("prediction", config["prediction"]["name"]),
        (
            "training",
            f"{summary.get('steps', '?')} updates of {config['training']['batch']} examples, seed {config['seed']}",
        ),
        (
            "sampling",
            f"{config['sampler']['name']}, {config['sampling']['steps']} steps, grid {config['grid']['name']}",
        ),
    ]
    if summary.get("held_out_loss") is not None:
        rows.append(("held-out loss", f"{summary['held_out_loss']:.5g}"))
    if summary.get("copies"):
        copies = summary["copies"]
        rows.append(("near copies", f"{copies['samples']:.1%} of samples, {copies['held_out']:.1%} of held-out data"))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""# A diffusion model of {spec.name}

| | |
|---|---|
{table}

```
reverie sample MODEL --count 16{" --label " + spec.classes[0] if spec.classes else ""}
```
```python
import reverie
model = reverie.load("MODEL")
x = reverie.sample(model, 16)      # in the data's own units
```

The samples are as good and as fair as the data. Whether the data may be used this way, and their licence, is for
whoever trained the model to say. Nothing in this folder is code, and loading it runs none.
""".encode()
