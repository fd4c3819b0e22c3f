"""Guidance on real digits: labels and diversity by scale, left halves restored, and what each guidance costs.

    python -m benchmarks.guidance_digits RUN CLASSIFIER [--count 200]
Labels are judged by a support-vector machine on the pixels, trained on the training digits. Diversity is the mean
distance between samples of one class, as a share of that between real ones.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
import torch
from sklearn.svm import SVC
from torch import Tensor

from reverie import pictures
from reverie.core.rng import Rng
from reverie.data import open_data, to_picture
from reverie.denoisers import Condition, Denoiser
from reverie.guidance import (
    ClassifierFree,
    DirectPotential,
    Dps,
    Mask,
    MomentMatching,
    Observation,
    PiGdm,
    Potential,
    Projection,
    RePaint,
    Replacement,
    Smoothness,
)
from reverie.samplers import Ancestral, Sampler, prior, trajectory
from reverie.training.classifier import load_classifier
from reverie.training.guides import Strength, guide
from reverie.training.model import Model, load
from reverie.training.restoring import around

RESULT = Path(__file__).parent / "results" / "guidance_digits.json"
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
CFG, CLASSIFIER = (1.0, 1.5, 2.0, 4.0), (1.0, 2.0, 4.0, 8.0)


def judge(model: Model) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor]:
    """Labels of samples by a machine that saw the training digits alone; then training and held-out digits, labels."""
    data = open_data("digits")
    train, held = data.split(0.1, 0)
    machine = SVC(gamma=0.001).fit(data.native(train).flatten(1).numpy(), data.labels(train).numpy())

    def labels(x: Tensor) -> Tensor:
        return torch.from_numpy(machine.predict(model.spec.scale.decode(x).flatten(1).numpy()))

    return labels, data.rows(train), data.rows(held), data.labels(held)


def diversity(x: Tensor, label: Tensor) -> float:
    """Mean distance between two samples of one class."""
    apart = [torch.pdist(x[label == k].flatten(1)).mean() for k in label.unique() if int((label == k).sum()) > 1]
    return float(torch.stack(apart).mean())


def scales(model: Model, classifier: str, count: int) -> list[dict[str, Any]]:
    """Label accuracy and diversity of classifier-free and of classifier guidance, by scale."""
    labels, _, held, held_label = judge(model)
    real = diversity(held, held_label)
    wanted = torch.arange(count) % 10
    rows = [{"guidance": "held-out digits", "right": float((labels(held) == held_label).double().mean())}]
    settings = [("cfg", s) for s in CFG] + [(f"classifier:{classifier}", s) for s in CLASSIFIER]
    for spec, scale in settings:
        steering = guide(spec, model, label="each", strength=Strength(scale=scale))
        began = time.perf_counter()
        x = model.draw(count, label=steering.label, seed=1, wrap=steering.wrap)
        rows.append(
            {
                "guidance": spec.split(":")[0],
                "scale": scale,
                "right": float((labels(x) == wanted).double().mean()),
                "diversity": diversity(x, wanted) / real,
                "seconds": time.perf_counter() - began,
            }
        )
        print(rows[-1], flush=True)
    return rows


def inpainting(model: Model, images: int, samples: int = 8) -> list[dict[str, Any]]:
    """The left half of held-out digits: error on it in model units and labels of the whole, by method."""
    labels, train, held, held_label = judge(model)
    mask = Mask.half(tuple(model.spec.shape), "left")
    x, label = held[:images], held_label[:images]
    missing = ~mask.mask[0]
    edge = missing.shape[1] // 2
    line = x.clone()
    # nothing lies beyond the seen half: a line from its edge to the background of an empty border
    fade = torch.linspace(0, 1, edge + 1)[1:]
    line[:, :, :, :edge] = fade * x[:, :, :, edge : edge + 1] + (1 - fade) * -1.0
    near = train[torch.cdist((x * mask.mask).flatten(1), (train * mask.mask).flatten(1)).argmin(1)]
    nearest = torch.where(mask.mask, x, near)
    rows = [scored("linear interpolation", line, x, missing, labels, label, 0.0)]
    rows.append(scored("nearest neighbour", nearest, x, missing, labels, label, 0.0))
    rows.append(scored("truth", x, x, missing, labels, label, 0.0))
    for method in ("moment-matching", "pi-gdm", "projection", "dps", "repaint"):
        began = time.process_time()
        found = together(model, mask, x, method, samples)
        seconds = (time.process_time() - began) / len(x)
        rows.append(scored(method, found.median(1).values, x, missing, labels, label, seconds))
        rows[-1]["one_sample_right"] = float((labels(found[:, 0]) == label).double().mean())
    return rows


@torch.inference_mode()
def together(model: Model, mask: Mask, x: Tensor, method: str, samples: int) -> Tensor:
    """`samples` restorations (N, samples, *shape) of each of N images, in one batch."""
    seen = Observation(mask, mask.apply(x).repeat_interleave(samples, 0))
    guided = around(method, seen, model.spec)(model)
    walk = model.walk(len(seen.y))
    sampler = cast(Sampler, RePaint(Ancestral(), 5)) if method == "repaint" else Ancestral()
    x1 = prior(model, walk.shape).sample(Rng(0).fork("prior"))
    *_, last = trajectory(guided, sampler, x1, walk.times, rng=Rng(0))
    return seen.settle(last.x).unflatten(0, (-1, samples))


def figure(model: Model, images: int = 8, samples: int = 6) -> bytes:
    """A row for each held-out digit: what is seen, `samples` of what it may have been, the truth."""
    _, _, held, _ = judge(model)
    mask, x = Mask.half(tuple(model.spec.shape), "left"), held[:images]
    found = together(model, mask, x, "moment-matching", samples)
    rows = torch.cat((mask.apply(x)[:, None], found, x[:, None]), 1).flatten(0, 1)
    return pictures.png(pictures.grid(to_picture(rows, model.spec), columns=samples + 2))


def scale_figure(rows: list[dict[str, Any]]) -> bytes:
    """Label accuracy and diversity against scale."""
    plot, axes = plt.subplots(1, 2, figsize=(8, 3))
    for name in ("cfg", "classifier"):
        own = [row for row in rows if row["guidance"] == name]
        for axis, key in zip(axes, ("right", "diversity"), strict=True):
            axis.plot([row["scale"] for row in own], [row[key] for row in own], "o-", label=name)
    for axis, title in zip(axes, ("asked-for labels", "distance within a class / real digits'"), strict=True):
        axis.set(xlabel="scale", title=title, xscale="log")
        axis.set_xticks((1, 2, 4, 8), labels=("1", "2", "4", "8"))
        axis.minorticks_off()
        axis.legend()
    plot.tight_layout()
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=110)
    plt.close(plot)
    return buffer.getvalue()


def scored(
    name: str,
    guess: Tensor,
    truth: Tensor,
    missing: Tensor,
    labels: Callable[[Tensor], Tensor],
    label: Tensor,
    s: float,
) -> dict[str, Any]:
    error = (guess - truth)[:, :, missing]
    row = {
        "method": name,
        "rmse": float((error**2).mean().sqrt()),
        "mae": float(error.abs().mean()),
        "right": float((labels(guess) == label).double().mean()),
        "seconds": s,
    }
    print(row, flush=True)
    return row


def costs(model: Model, classifier: str, rows: int = 8, rounds: int = 5) -> list[dict[str, Any]]:
    """Seconds of one evaluation of a batch, as a multiple of the plain denoiser's: the least of `rounds`."""
    x = torch.randn(rows, *model.spec.shape, generator=torch.Generator().manual_seed(0))
    mask = Mask.half(tuple(model.spec.shape))
    seen, label = Observation(mask, mask.apply(x[:1]), 0.05), Condition(torch.tensor([3]))
    labels = load_classifier(classifier)
    steering = guide(f"classifier:{classifier}", model, label=labels.spec.classes[3], strength=Strength())
    made: dict[str, Denoiser] = {
        "none": model,
        "cfg": ClassifierFree(model, scale=2.0).given(label),
        "classifier": steering.wrap(model),
        "potential": Potential(model, Smoothness()),
        "direct-potential": DirectPotential(model, Smoothness()),
        "replacement": Replacement(model, seen),
        "projection": Projection(model, seen),
        "dps": Dps(model, seen),
        "pi-gdm": PiGdm(model, seen),
        "moment-matching (3 iterations)": MomentMatching(model, seen),
    }
    found: list[dict[str, Any]] = []
    for name, denoiser in made.items():
        with torch.inference_mode():
            seconds = min(timed(denoiser, x) for _ in range(rounds))
        found.append({"guidance": name, "milliseconds": 1e3 * seconds})
    for row in found:
        row["times"] = row["milliseconds"] / found[0]["milliseconds"]
        print(row, flush=True)
    return found


def timed(denoiser: Denoiser, x: Tensor) -> float:
    began = time.process_time()
    _ = denoiser(x, 0.4).mean
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("classifier")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    model = load(arguments.run)
    result = {
        "costs": costs(model, arguments.classifier),
        "scales": scales(model, arguments.classifier, arguments.count),
        "inpainting": inpainting(model, arguments.images),
    }
    arguments.out.parent.mkdir(exist_ok=True)
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / "guidance_scale.png").write_bytes(scale_figure(result["scales"]))
    (FIGURES / "guidance_inpainting.png").write_bytes(figure(model))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
