"""Labels and diversity against the scale of guidance: classifier-free, and an unconditional model by a classifier.

    python -m benchmarks.guidance_labels digits RUN PLAIN CLASSIFIER
RUN was trained with labels, PLAIN without (`--label none`), CLASSIFIER by `--classifier`, all on the same data. Labels
are judged by a network that saw clean training images alone (`benchmarks.judge`). Diversity is the mean distance
between samples of one class as a share of that between held-out examples; coverage the share of held-out examples with
a sample nearer than their own fifth neighbour. Results go to a file with a part for each data set, which the figure
shows together.
Reference for coverage: Naeem et al. 2020, arXiv:2002.09797.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.judge import judge, share_right
from reverie import pictures
from reverie.core.rng import Rng
from reverie.data import open_data, to_picture
from reverie.denoisers import Condition
from reverie.metrics import manifold
from reverie.samplers import sample
from reverie.training.guides import Strength, guide
from reverie.training.model import Model, load

RESULT = Path(__file__).parent / "results" / "guidance_labels.json"
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
CFG, CLASSIFIER, AUTO = (1.0, 1.25, 1.5, 2.0, 4.0), (1.0, 2.0, 3.0, 4.0, 8.0), (1.5, 2.0)
GUIDES = ("cfg", "auto", "classifier")
SHOWN = {"right": "asked-for labels", "diversity": "distance within a class, real = 1", "coverage": "coverage"}


def measured(data: str, run: str, plain: str, classifier: str, count: int, only: list[str]) -> list[dict[str, Any]]:
    """One row for each guidance of `only` and scale, and two for real examples in the samples' place."""
    conditional = load(run)
    unconditional = load(plain) if "classifier" in only else conditional
    if "classifier" in only and unconditional.spec.classes:
        raise SystemExit(f"{plain} was trained with labels; train it with --label none")
    examples = open_data(data)
    train, held = examples.split(float(conditional.config["training"].get("holdout", 0.1)))
    labels = judge(examples, train)
    real, real_label = some(examples, held, count)
    wide = spread(real, real_label)

    def row(name: str, x: Tensor, wanted: Tensor, **more: float) -> dict[str, Any]:
        found = {"guidance": name, **more, "right": share_right(labels, x, wanted)}
        found["diversity"] = spread(x, wanted) / wide
        found["coverage"] = manifold(x.flatten(1), real.flatten(1)).coverage
        print(found, flush=True)
        return found

    everything = share_right(labels, examples.rows(held), examples.labels(held))
    rows = [{"guidance": "judge", "right": everything, "of": len(held)}, row("real", *some(examples, train, count))]
    settings = [("cfg", conditional, s) for s in CFG]
    settings += [("auto", conditional, s) for s in AUTO]
    settings += [(f"classifier:{classifier}", unconditional, s) for s in CLASSIFIER]
    for spec, model, scale in (each for each in settings if each[0].split(":")[0] in only):
        began = time.process_time()
        x = drawn(model, spec, scale, count, run=run)
        seconds = (time.process_time() - began) / count
        name = spec.split(":")[0]
        rows.append(row(name, x, torch.arange(count) % 10, scale=scale, seconds_a_sample=seconds))
    return rows


def drawn(model: Model, spec: str, scale: float, count: int, *, run: str) -> Tensor:
    """Samples with the classes in turn, whatever the model was trained with."""
    steering = guide(spec, model, label="each" if model.spec.classes else "0", strength=Strength(scale=scale), run=run)
    walk, wanted = model.walk(count), Condition(torch.arange(count) % 10)
    return sample(
        steering.wrap(model).eval(), walk.shape, sampler=walk.sampler, steps=walk.times, rng=Rng(1), condition=wanted
    )


def some(examples: Any, index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """At most `count` of these examples and their labels, chosen by a seed."""
    chosen = index[Rng(0).fork("some").uniform(len(index)).argsort()[:count]]
    return examples.rows(chosen), examples.labels(chosen)


def spread(x: Tensor, label: Tensor) -> float:
    """Mean distance between two examples of one class."""
    apart = [torch.pdist(x[label == k].flatten(1)).mean() for k in label.unique() if int((label == k).sum()) > 1]
    return float(torch.stack(apart).mean())


def curves(result: dict[str, list[dict[str, Any]]]) -> bytes:
    """Labels, distance and coverage against scale, a row of axes for each data set."""
    plot, grid = plt.subplots(len(result), len(SHOWN), figsize=(11, 2.9 * len(result)), squeeze=False)
    for axes, (data, rows) in zip(grid, result.items(), strict=True):
        real = next(row for row in rows if row["guidance"] == "real")
        for axis, (key, title) in zip(axes, SHOWN.items(), strict=True):
            for name in ("cfg", "classifier"):
                own = [row for row in rows if row["guidance"] == name]
                axis.plot([row["scale"] for row in own], [row[key] for row in own], "o-", label=name)
            axis.axhline(real[key], color="grey", ls=":", label="training examples")
            axis.set(xlabel="scale", title=f"{data}: {title}", xscale="log")
            axis.set_xticks((1, 2, 4, 8), labels=("1", "2", "4", "8"))
            axis.minorticks_off()
        axes[0].legend()
    plot.tight_layout()
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=100)
    plt.close(plot)
    return buffer.getvalue()


def sheet(plain: str, classifier: str, scale: float) -> bytes:
    """A column for each class: an unconditional model's samples, steered by a classifier."""
    model = load(plain)
    x = drawn(model, f"classifier:{classifier}", scale, 60, run=plain)
    return pictures.png(pictures.grid(to_picture(x, model.spec), columns=10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a path or the name of a built-in set")
    parser.add_argument("run")
    parser.add_argument("plain")
    parser.add_argument("classifier")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument(
        "--only", nargs="*", default=list(GUIDES), choices=GUIDES, help="keep what was measured of others"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    result = json.loads(chosen.out.read_text()) if chosen.out.is_file() else {}
    name = open_data(chosen.data).spec.name
    found = measured(chosen.data, chosen.run, chosen.plain, chosen.classifier, chosen.count, chosen.only)
    told = {row["guidance"] for row in found}
    result[name] = found + [row for row in result.get(name, []) if row["guidance"] not in told]
    chosen.out.write_text(json.dumps(result, indent=1) + "\n")
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / "guidance_scale.png").write_bytes(curves(result))
    if "classifier" in chosen.only:
        (FIGURES / f"guidance_classifier_{name}.png").write_bytes(sheet(chosen.plain, chosen.classifier, 4.0))


if __name__ == "__main__":
    main()
