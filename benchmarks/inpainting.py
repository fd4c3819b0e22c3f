"""The left half of held-out pictures: samples of what it may have been, against a line and the nearest neighbour.

    python -m benchmarks.inpainting mnist RUN [--choose 60] [--images 200] [--samples 8] [--names "pi-gdm 20 3 1 1" …]
    python -m benchmarks.inpainting mnist RUN --reader CLASSIFIER […]
The held-out examples are parted by a seed: methods are compared on `choose` of them, and the one whose pixel-wise
median of `samples` has the least squared error there is then judged on `images` others. Errors are in model units
(bytes span 2), over the left half; labels are those of a network that saw clean training images alone
(`benchmarks.judge`). With `--reader` RUN is a model with labels, and every sample draws its own from what this
classifier of right halves (`reverie train DATA --classifier --task inpaint --part left`) reads off the seen half.
Seconds are a core's for all samples of one picture, as `reverie restore` draws them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.judge import Judge, judge
from reverie import pictures
from reverie.core.rng import Rng
from reverie.data import open_data, to_picture
from reverie.denoisers import Condition, Denoiser
from reverie.guidance import Auto, ClassifierFree, Mask, Observation, RePaint
from reverie.samplers import Ancestral, Sampler, prior, trajectory
from reverie.training.classifier import LabelModel, load_classifier
from reverie.training.model import Model, earliest, load
from reverie.training.restoring import around, drawn, restore
from reverie.training.rounded import swift

RESULT = Path(__file__).parent / "results" / "inpainting.json"
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
METHODS = (  # steps, visits of each, the strength of autoguidance by the run's first checkpoint, that of --guide cfg
    ("moment-matching", 20, 1, 1.0, 1.0), ("moment-matching", 20, 3, 1.0, 1.0), ("pi-gdm", 20, 1, 1.0, 1.0),
    ("pi-gdm", 60, 1, 1.0, 1.0), ("pi-gdm", 20, 3, 1.0, 1.0), ("pi-gdm", 20, 10, 1.0, 1.0), ("pi-gdm", 20, 3, 2.0, 1.0),
    ("projection", 20, 1, 1.0, 1.0), ("repaint", 20, 5, 1.0, 1.0),
)  # fmt: skip
LABELLED = (("moment-matching", 20, 1, 1.0, 1.5), ("pi-gdm", 20, 3, 1.0, 1.5))  # besides, where labels are read
KEYS = ("method", "steps", "repeats", "auto", "cfg")
ROWS = 500  # drawn at once
Wrap = Callable[[Denoiser], Denoiser]
Row = dict[str, Any]


@dataclass(frozen=True)
class Halves:
    """Pictures (N, *shape) with their labels, and what of them is seen."""

    x: Tensor
    label: Tensor
    mask: Mask
    labels: Judge

    def scored(self, name: str, guess: Tensor, seconds: float = 0.0) -> dict[str, Any]:
        """Errors of one guess (N, *shape) or several (N, S, *shape) for each picture, and the share of right labels."""
        several = guess if guess.dim() > self.x.dim() else guess[:, None]
        error = (several - self.x[:, None])[:, :, ~self.mask.mask]
        found = self.labels(several.flatten(0, 1)).unflatten(0, (len(several), -1))
        row = {
            "method": name,
            "rmse": float((error**2).mean().sqrt()),
            "mae": float(error.abs().mean()),
            "right": float((found == self.label[:, None]).double().mean()),
            "seconds": seconds,
        }
        print(row, flush=True)
        return row

    def readings(self, found: Tensor, seconds: float) -> list[dict[str, Any]]:
        """What may be made of samples (N, S, *shape) that took `seconds` a picture."""
        count = found.shape[1]
        labels = self.labels(found.flatten(0, 1)).unflatten(0, (-1, count))
        voted = {"method": f"the commonest label of {count}", "seconds": seconds}
        voted["right"] = float((labels.mode(1).values == self.label).double().mean())
        print(voted, flush=True)
        return [
            self.scored(f"pixel-wise median of {count}", found.median(1).values, seconds),
            self.scored(f"the most central of {count}", central(found), seconds),
            voted,
            self.scored("one sample", found, seconds / count),
        ]

    def read(self, reader: LabelModel) -> Row:
        """The label that is likeliest by what is seen, and how probable the right one was."""
        chances = reader.read(Observation(self.mask, self.mask.apply(self.x)))
        right, own = chances.argmax(1) == self.label, chances.gather(1, self.label[:, None])
        row = {"method": "the likeliest label by what is seen", "right": float(right.double().mean()), "seconds": 0.0}
        row["chance"] = float(own.mean())
        print(row, flush=True)
        return row

    def line(self) -> Tensor:
        """Nothing lies beyond the seen half: a line from its edge to the black of an empty border."""
        edge = self.x.shape[-1] // 2
        fade = torch.linspace(0, 1, edge + 1)[1:]
        guess = self.x.clone()
        guess[..., :edge] = fade * self.x[..., edge : edge + 1] + (1 - fade) * -1.0
        return guess

    def nearest(self, train: Tensor) -> Tensor:
        """The training picture whose right half is nearest."""
        seen = self.mask.mask
        near = torch.cdist(self.x[:, seen], train[:, seen]).argmin(1)
        return torch.where(seen, self.x, train[near])


@torch.inference_mode()
def together(
    model: Model, seen: Mask, x: Tensor, *, samples: int, method: str, steps: int, repeats: int, wrap: Wrap | None,
    reader: LabelModel | None,
) -> Tensor:  # fmt: skip
    """`samples` restorations (N, samples, *shape) of each of N pictures, many in a batch, as `restore` draws them."""
    per, found = max(1, ROWS // samples), []
    inner = swift(model, model.config, torch.device("cpu"))
    inner = inner if wrap is None else wrap(inner)
    sampler = cast(Sampler, RePaint(Ancestral(), repeats)) if repeats > 1 else Ancestral()
    for start in range(0, len(x), per):
        y = seen.apply(x[start : start + per]).repeat_interleave(samples, 0)
        observation = Observation(seen, y)
        guided = around(method, observation, model.spec)(inner).eval()
        walk, rng = model.walk(len(y), steps=steps), Rng(0).at(start * samples)
        if reader is not None:
            guided = guided.given(Condition(drawn(reader.read(observation), rng.fork("label").uniform(len(y)))))
        x1 = prior(model, walk.shape).sample(rng.fork("prior"))
        *_, last = trajectory(guided, sampler, x1, walk.times, rng=rng)
        found.append(observation.settle(last.x).unflatten(0, (-1, samples)))
    return torch.cat(found)


def central(found: Tensor) -> Tensor:
    """The one of each picture's samples (N, S, *D) that is nearest to the others: their median as vectors, (N, *D)."""
    apart = torch.cdist(found.flatten(2), found.flatten(2)).sum(2)
    return found[torch.arange(len(found)), apart.argmin(1)]


def seconds_of(model: Model, seen: Mask, x: Tensor, *, samples: int, reader: LabelModel | None, **how: Any) -> float:
    """A core's seconds for one picture, by `reverie restore`'s own function: the least of two."""
    spent = []
    for picture in x[:2]:
        began = time.process_time()
        observation = Observation(seen, seen.apply(picture[None]))
        label = "none" if reader is None else reader.read(observation)[0]
        restore(model, observation, count=samples, label=label, **how)
        spent.append(time.process_time() - began)
    return min(spent)


def options(row: Row, worse: Denoiser, reader: LabelModel | None) -> Row:
    """How `restore` is asked for what a row of METHODS names."""
    wrap: Wrap | None = None
    if row["auto"] != 1:
        wrap = partial(Auto, worse=worse, scale=row["auto"])
    if row["cfg"] != 1:
        wrap = partial(ClassifierFree, scale=row["cfg"])
    return {**{key: row[key] for key in ("method", "steps", "repeats")}, "wrap": wrap, "reader": reader}


def measured(
    data: str, run: str, *, choose: int, images: int, samples: int, names: list[str], before: Row,
    reader: LabelModel | None = None,
) -> tuple[Row, Tensor | None]:  # fmt: skip
    """The scores of every method on the first part, of the chosen one on the second, and rows to look at.

    What was found `before` of the same model, pictures and samples is not done again; what was judged then is kept
    where no others are to be judged and the same method is still the best.
    """
    model, examples = load(run), open_data(data)
    train, held = examples.split(float(model.config["training"].get("holdout", 0.1)))
    held = held[Rng(0).fork("inpainting").uniform(len(held)).argsort()]
    seen, labels = Mask.half(tuple(model.spec.shape), "left"), judge(examples, train)

    def part(index: Tensor) -> Halves:
        return Halves(examples.rows(index), examples.labels(index), seen, labels)

    first, last = part(held[:choose]), part(held[choose : choose + images])
    counts = {"updates": model.summary.get("steps"), "chosen_on": len(first.x), "samples": samples}
    if reader is not None:
        counts["reader_updates"] = reader.config["steps"]
    tried = [{"cfg": 1.0, **row} for row in before["tried"]] if counts.items() <= before.items() else []
    known, worse = [tuple(row[key] for key in KEYS) for row in tried], earliest(run)
    for entry in METHODS if reader is None else METHODS + LABELLED:
        if entry in known or (names and "{} {} {} {:g} {:g}".format(*entry) not in names):
            continue
        row = dict(zip(KEYS, entry, strict=True))
        print(row, flush=True)
        found = together(model, seen, first.x, samples=samples, **options(row, worse, reader))
        median, centre, voted, one = first.readings(
            found, seconds_of(model, seen, first.x, samples=samples, **options(row, worse, reader))
        )
        more = {"central": centre["right"], "voted": voted["right"], "one": one["right"]}
        tried.append({**median, **more, **row})
    best = min(tried, key=lambda row: row["rmse"])
    told = f"{best['method']}, {best['steps']} steps" + f", each {best['repeats']} times" * (best["repeats"] > 1)
    told += f", autoguidance {best['auto']:g}" * (best["auto"] != 1)
    told += f", classifier-free guidance {best['cfg']:g}" * (best["cfg"] != 1)
    print("chosen:", told, flush=True)
    if not images:
        kept = before if counts.items() <= before.items() and before.get("chosen") == told else {}
        return {**kept, **counts, "tried": tried}, None
    found = together(model, seen, last.x, samples=samples, **options(best, worse, reader))
    rows = [
        last.scored("linear interpolation", last.line()),
        last.scored("nearest neighbour", last.nearest(examples.rows(train))),
        *([] if reader is None else [last.read(reader)]),
        *last.readings(found, best["seconds"]),
        last.scored("truth", last.x),
    ]
    shown = torch.cat((seen.apply(last.x)[:, None], found, found.median(1, keepdim=True).values, last.x[:, None]), 1)
    return {**counts, "judged_on": len(last.x), "chosen": told, "tried": tried, "judged": rows}, shown[:8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a path or the name of a built-in set")
    parser.add_argument("run")
    parser.add_argument("--choose", type=int, default=60)
    parser.add_argument("--images", type=int, default=200, help="0: only compare methods, and keep what was found")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument(
        "--names", nargs="+", default=[], help="only these: 'METHOD STEPS VISITS AUTOGUIDANCE CFG' each"
    )
    parser.add_argument("--reader", help="a classifier of right halves, for a model with labels")
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    result = json.loads(chosen.out.read_text()) if chosen.out.is_file() else {}
    spec = open_data(chosen.data).spec
    name = spec.name if chosen.reader is None else f"{spec.name}_labels"
    result[name], shown = measured(
        chosen.data, chosen.run, choose=chosen.choose, images=chosen.images, samples=chosen.samples,
        names=chosen.names, before=result.get(name, {}),
        reader=None if chosen.reader is None else load_classifier(chosen.reader),
    )  # fmt: skip
    chosen.out.write_text(json.dumps(result, indent=1) + "\n")
    if shown is None:
        return
    FIGURES.mkdir(exist_ok=True)
    rows = to_picture(shown.flatten(0, 1), spec)
    (FIGURES / f"inpainting_{name}.png").write_bytes(pictures.png(pictures.grid(rows, columns=shown.shape[1])))


if __name__ == "__main__":
    main()
