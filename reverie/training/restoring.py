"""Restoring: from an observation of an example to samples of what it may have been, their mean and their spread."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from reverie import pictures
from reverie.core import catalog
from reverie.core.errors import UserError, unknown
from reverie.core.rng import Rng
from reverie.data import Spec, is_picture, to_picture
from reverie.denoisers import Condition, Denoiser
from reverie.guidance import (
    Blur,
    Bounded,
    Grey,
    Identity,
    Mask,
    Matrix,
    MomentMatching,
    Observation,
    Operator,
    Particles,
    Pool,
    RePaint,
    Twisted,
)
from reverie.samplers import Ancestral, Sampler, prior, trajectory
from reverie.training.model import Model, Walk, device_of
from reverie.training.reading import native
from reverie.training.rounded import swift
from reverie.training.smc import smc

TASKS = ("inpaint", "super-resolution", "deblur", "motion-deblur", "colourise", "denoise", "sensing")
EXTRA = ("repaint", "particles")
REPEATS = {"repaint": 5}  # visits of each step where it is not 1
BLOCK = 8  # samples that are computed together
QUIET = 0.02  # noise that particles give an observation said to have none


def methods() -> list[str]:
    """The names of the methods for inverse problems."""
    found = {*catalog.names("guidance", "Measured"), *catalog.names("guidance", "Replacement"), *EXTRA}
    return sorted(found)


def operator_for(
    task: str, spec: Spec, *, mask: Tensor | None = None, part: str = "", factor: int = 2, blur: float = 1.0,
    share: float = 0.5, degrees: float = 0.0, seed: int = 0,
) -> Operator:  # fmt: skip
    """The operator of a task for this data. Raises UserError for an unknown task or one that does not fit.

    `mask` (1 where seen) or `part` (a half: left, right, top, bottom; a box: top,left,height,width; random) inpaints.
    """
    shape = tuple(spec.shape)
    makers: dict[str, Callable[[], Operator]] = {
        "inpaint": lambda: _mask(shape, mask, part, share, seed),
        "super-resolution": lambda: Pool(factor, shape),
        "deblur": lambda: Blur.gaussian(blur, shape),
        "motion-deblur": lambda: Blur.motion(round(blur), shape, degrees=degrees),
        "colourise": lambda: Grey(shape),
        "denoise": lambda: Identity(shape),
        "sensing": lambda: Matrix.random(share, shape, seed=seed),
    }
    if task not in makers:
        raise unknown("task", task, TASKS)
    try:
        return makers[task]()
    except ValueError as error:
        raise UserError(f"{task}: {error}") from error


def _mask(shape: tuple[int, ...], mask: Tensor | None, part: str, share: float, seed: int) -> Mask:
    if mask is not None:
        return Mask(mask, shape)
    if not part:
        raise ValueError("say what is missing: a mask file, or a part (left, right, top, bottom, random, or a box)")
    if part == "random":
        return Mask.random(shape, share=share, seed=seed)
    if part[0].isdigit():
        numbers = [int(n) for n in part.split(",") if n.strip().isdigit()]
        if len(numbers) != 4:
            raise ValueError(f"a box is top,left,height,width, not '{part}'")
        return Mask.box(shape, (numbers[0], numbers[1], numbers[2], numbers[3]))
    return Mask.half(shape, part)


def around(method: str, observation: Observation, spec: Spec) -> Callable[[Denoiser], Denoiser]:
    """The guidance of a method around a denoiser, within the data's bounds. Raises UserError for an unknown one."""
    if method not in methods():
        raise unknown("method", method, methods())
    name = {"repaint": "replacement", "particles": "moment-matching"}.get(method, method)
    entry = catalog.find("guidance", name)
    own = {"data_std": spec.std} if "data_std" in [o.name for o in catalog.options("guidance", name)] else {}
    if spec.scale.low is None or spec.scale.high is None:
        return lambda inner: entry(inner, observation, **own)
    low, high = _bounds(spec)
    return lambda inner: Bounded(entry(inner, observation, **own), low=low, high=high)


def _bounds(spec: Spec) -> tuple[float, float]:
    """The data's bounds in model units."""
    ends = torch.tensor([spec.scale.low, spec.scale.high], dtype=torch.float64)
    centre, spread = torch.tensor(spec.scale.center), torch.tensor(spec.scale.spread)
    return float(((ends[0] - centre) / spread).min()), float(((ends[1] - centre) / spread).max())


@dataclass(frozen=True)
class Restored:
    """Samples (N, *shape) in model units, and for particles the log-evidence in nats and the effective sample size.

    `labels` (N,) where each sample drew its own.
    """

    samples: Tensor
    log_evidence: float | None = None
    effective: float | None = None
    labels: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        return self.samples.mean(0)

    @property
    def std(self) -> Tensor:
        """Per element, (*shape)."""
        return self.samples.std(0, correction=0)


def restore(
    model: Model,
    observation: Observation,
    *,
    count: int = 8,
    method: str = "moment-matching",
    label: str | int | Tensor | None = "none",
    wrap: Callable[[Denoiser], Denoiser] | None = None,
    steps: int | None = None,
    sampler: Sampler | None = None,
    repeats: int | None = None,
    within: tuple[float, float] = (0.0, math.inf),
    particles: int = 64,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Restored:
    """Samples of p(x_0 | y), by ancestral steps unless told otherwise. A noiseless observation is met exactly.

    `label` may be p(c | y) (classes,), as of a classifier of observations: every sample then draws its own label, for
    p(x_0 | y) = Σ_c p(c | y) p(x_0 | c, y). `wrap` puts a guidance around the model first, so that its prior is the
    guided one: see `reverie.training.guides`.
    Every step from a noise level σ/α `within` these two is done `repeats` times, with the process's noise between (5 of
    `repaint`, else 1). Raises UserError for an unknown method, label, or an observation of another shape than the
    model's data.
    """
    if model.stage is not None:
        raise UserError(
            "this model works in the codes of an autoencoder; restoring needs a model of the data themselves"
        )
    if tuple(observation.operator.shape) != tuple(model.spec.shape):
        raise UserError(f"the operator is for {observation.operator.shape}, the model for {tuple(model.spec.shape)}")
    seeing = around(method, observation, model.spec)
    condition = _condition(model, label, count, seed)
    inner = swift(model, model.config, device_of(model))
    inner = inner if wrap is None else wrap(inner)
    if method == "particles":
        if isinstance(label, Tensor):
            raise UserError("particles are weighed for one label: name it, or choose another method")
        inner = inner if condition is None else inner.given(condition)
        return _by_particles(model, inner, observation, count, steps, particles, seed)
    walk = model.walk(count, sampler=sampler or Ancestral(), steps=steps)
    visits = repeats or REPEATS.get(method, 1)
    if visits > 1:
        walk = replace(walk, sampler=cast(Sampler, RePaint(walk.sampler, visits, *within)))
    guided = seeing(inner).eval()
    found = observation.settle(_walked(guided, walk, condition, Rng(seed).fork("restore"), progress))
    own = condition.label if isinstance(label, Tensor) and condition is not None else None
    return Restored(found, labels=None if own is None else own[:count].cpu())


def _condition(model: Model, label: str | int | Tensor | None, count: int, seed: int) -> Condition | None:
    """One label for all samples, or a label for each of whole blocks of them, drawn by the probabilities given."""
    if not isinstance(label, Tensor):
        return model.condition(1, label if model.spec.classes else None, None, 0)
    wrong = label.shape != (len(model.spec.classes),) or not torch.isfinite(label).all() or label.min() < 0
    if wrong or label.sum() == 0:
        told = f"one of each of {len(model.spec.classes)} classes, 0 or above and not all 0"
        raise UserError(f"probabilities of labels need {told}, not {label.tolist()}")
    u = Rng(seed).fork("label").uniform(BLOCK * math.ceil(count / BLOCK))
    return Condition(drawn(label.cpu(), u).to(device_of(model)))


def drawn(chances: Tensor, u: Tensor) -> Tensor:
    """The labels at the quantiles u (…,) in [0, 1) of probabilities (…, classes), int64."""
    heights = chances.double().cumsum(-1)
    below = u.double().clamp(max=1 - 2**-50)  # of the whole, whatever it rounds to
    return (below[..., None] * heights[..., -1:] >= heights).sum(-1)


@torch.inference_mode()
def _walked(
    guided: Denoiser, walk: Walk, condition: Condition | None, rng: Rng, progress: Callable[[int], None] | None
) -> Tensor:
    """Sample i draws from stream i alone, in small whole blocks: few samples are wanted, and each is dear."""
    count, out = walk.shape[0], []
    for start in range(0, count, BLOCK):
        streams = rng.at(start)
        x1 = prior(guided, (BLOCK, *walk.shape[1:])).sample(streams.fork("prior"))
        own = guided if condition is None else guided.given(condition.rows(slice(start, start + BLOCK)))
        *_, last = trajectory(own, walk.sampler, x1, walk.times, rng=streams)
        out.append(last.x[: count - start].cpu())
        if progress:
            progress(min(start + BLOCK, count))
    return torch.cat(out)


def contents(spec: Spec, observation: Observation, restored: Restored, made: dict[str, Any]) -> dict[str, bytes]:
    """The files of a restoration but for the samples' own: pictures where the data are, arrays in native units.

    Pictures have the size of what they show; `sheet.png` shows all side by side, enlarged.
    """
    values, operator = restored.samples.cpu(), observation.operator
    mean, std = values.mean(0, keepdim=True), values.std(0, correction=0, keepdim=True)
    found = {
        "observation.npy": _npy(native(observation.y[:1], spec, operator)[0]),
        "mean.npy": _npy(native(mean, spec)[0]),
        "std.npy": _npy((native(std, spec) - native(torch.zeros_like(std), spec))[0]),
    }
    told = {"log_evidence_nats": restored.log_evidence, "effective_particles": restored.effective}
    note = {**made, **{k: v for k, v in told.items() if v is not None}}
    if restored.labels is not None:
        note["sample_labels"] = [spec.classes[k] for k in restored.labels.tolist()]
    found["restore.json"] = json.dumps(note, indent=1).encode() + b"\n"
    if isinstance(operator, Mask):
        found["mask.npy"] = _npy((~operator.mask).to(torch.uint8))
    return found | _pictures(spec, observation, values, std) if is_picture(spec) else found


def _pictures(spec: Spec, observation: Observation, values: Tensor, std: Tensor) -> dict[str, bytes]:
    def shown(x: Tensor) -> np.ndarray:
        return to_picture(x, replace(spec, shape=tuple(x.shape[1:])))

    looked, mean = seen(observation), values.mean(0, keepdim=True)
    pages = {"mean": shown(mean), "std": _brightness(std)}
    if isinstance(observation.operator, Mask):
        pages["mask"] = _brightness((~observation.operator.mask)[None].float())
    first = looked if looked.shape == mean.shape else _back(observation)
    sheet = pictures.grid(np.concatenate([shown(first), *pages.values(), shown(values)]))
    single = {"observation": shown(looked), **pages}
    return {f"{name}.png": pictures.png(page[0]) for name, page in single.items()} | {"sheet.png": pictures.png(sheet)}


def seen(observation: Observation) -> Tensor:
    """The first observation as something to look at: itself where it has the form of an example, else A⁺ y."""
    y, operator = observation.y[:1].cpu(), observation.operator
    if y.dim() != len(operator.shape) + 1:
        return _back(observation)
    return operator.apply(y) if isinstance(operator, Mask) else y


def _back(observation: Observation) -> Tensor:
    return observation.operator.inverse(observation.y[:1].cpu())


def _brightness(x: Tensor) -> np.ndarray:
    """(1, C, *space) from 0 to its largest value as grey, (1, H, W, 3): the middle slice of a volume."""
    flat = x[0].mean(0)
    flat = flat[len(flat) // 2] if flat.dim() == 3 else flat
    grey = (255 * flat / flat.max().clamp(min=1e-12)).round().to(torch.uint8).numpy()
    return np.repeat(grey[None, ..., None], 3, -1)


def _npy(x: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, x.cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()


def _by_particles(
    model: Model, inner: Denoiser, observation: Observation, count: int, steps: int | None, size: int, seed: int
) -> Restored:
    """`count` draws from max(size, count) weighted particles."""
    noisy = Observation(observation.operator, observation.y, observation.noise or QUIET)
    guided = MomentMatching(inner, noisy)
    walk = Particles(max(size, count))
    rng = Rng(seed).fork("restore")
    times = model.walk(1, steps=steps).times
    outcome = smc(cast(Twisted, guided), (1, *model.spec.shape), times=times, rng=rng, particles=walk)
    drawn = outcome.draw(rng.fork("draw"))[0]
    chosen = drawn[torch.linspace(0, len(drawn) - 1, count).round().long()]
    return Restored(observation.settle(chosen), float(outcome.log_evidence), float(outcome.sizes[-1]))
