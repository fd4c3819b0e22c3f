"""How soon samples are good: the Fréchet distance after so many seconds of training, beside other toolkits' trainers.

    python -m benchmarks.time_to_quality path/to/mnist [path/to/fashion-mnist …] [--seconds 30 60 600] [--quick]
    python -m benchmarks.time_to_quality path/to/mnist --side lucidrains --seconds 600
    python -m benchmarks.time_to_quality path/to/mnist --model RUN          (a run that is there already)
Ours is `reverie train DATA --minutes M` and nothing else, a run of its own for each length, with its sampler at 10, 20
and 100 evaluations. The others train as their own trainers do by default (batch 16, learning rate 1e-4) and are
sampled by 50 steps of DDIM; they too keep freed memory, which ours does by itself. One evaluator for all sides of a
data set on one kind of processor, 2,000 samples unless `--count` says otherwise. Rows with the same key replace those
that are there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.evaluator import KEPT, Evaluator
from benchmarks.machine import RESULTS, Meter, model, write
from reverie.data import Dataset, open_data
from reverie.networks import has_bf16, keep_memory, parameters
from reverie.pictures import render
from reverie.pictures.plots import COLOURS
from reverie.training.model import Model, load
from reverie.training.session import Session

RESULT = RESULTS / "time_to_quality.json"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "time_to_quality.png"
EVALUATIONS = [10, 20, 100]
KEYS = ("processor", "precision", "data", "side", "seconds", "evaluations", "samples")
Row = dict[str, Any]


def here() -> Row:
    """The processor, and the precision that training takes on it."""
    return {"processor": model(), "precision": "bf16" if has_bf16(torch.device("cpu")) else "fp32"}


def ours(path: str, evaluator: Evaluator, *, seconds: float, count: int, budgets: list[int]) -> Iterable[Row]:
    """A run of this length by default options, and its samples judged."""
    folder = KEPT / f"{evaluator.dataset.spec.name}-{seconds:g}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    meter = Meter()
    Session.begin(path, {"training": {"minutes": seconds / 60, "previews": 1}}, path=folder).go()
    trained = meter.read() | {"threads": torch.get_num_threads()}
    yield from of_model(load(folder), evaluator, count=count, seconds=seconds, trained=trained, budgets=budgets)


def of_model(
    denoiser: Model, evaluator: Evaluator, *, count: int, seconds: float, trained: Row, budgets: list[int]
) -> Iterable[Row]:
    """A trained model's samples, judged, at several numbers of evaluations."""
    for evaluations in budgets:
        began = time.perf_counter()
        x = denoiser.draw(count, label="each", steps=evaluations, seed=1)
        row = {
            **here(), "data": evaluator.dataset.spec.name, "side": "reverie", "seconds": seconds,
            "evaluations": evaluations, "samples": count, "distance": round(evaluator.distance(x), 2),
            "sampling_seconds": round(time.perf_counter() - began, 1), "updates": denoiser.summary.get("steps"),
            "parameters": parameters(denoiser), "training": trained,
        }  # fmt: skip
        print(row, flush=True)
        yield row


@contextmanager
def torchvision_or_a_stand_in() -> Iterator[None]:
    """Empty modules under its name where it is absent: it is imported for reading files, which is not done here."""
    names = ("torchvision", "torchvision.transforms", "torchvision.utils")
    absent = importlib.util.find_spec("torchvision") is None
    if absent:
        modules = package, transforms, utils = [types.ModuleType(name) for name in names]
        package.__dict__.update(transforms=transforms, utils=utils)
        sys.modules.update(zip(names, modules, strict=True))
    try:
        yield
    finally:
        for name in names if absent else ():
            del sys.modules[name]


def lucidrains(dataset: Dataset) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor], Callable[[int], Tensor]]:
    """denoising-diffusion-pytorch: its U-Net, v-prediction and sigmoid schedule; (parameters, loss, sampling)."""
    with torchvision_or_a_stand_in():
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    shape = dataset.spec.shape
    network = Unet(dim=24, dim_mults=(1, 2, 4), channels=shape[0])
    diffusion = GaussianDiffusion(network, image_size=shape[1], timesteps=1000, sampling_timesteps=50)
    return diffusion, lambda x: diffusion((x + 1) / 2), lambda n: 2 * diffusion.sample(batch_size=n) - 1


def diffusers(dataset: Dataset) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor], Callable[[int], Tensor]]:
    """diffusers' UNet2DModel by its training example: linear schedule, ε-prediction; about a million weights."""
    from diffusers import DDIMScheduler, DDPMScheduler

    from benchmarks.train_step import PEER, Peer

    shape = dataset.spec.shape
    pad = -shape[1] % 8
    network = Peer(PEER["1.2M"], one_head=False, shape=(shape[0], shape[1] + pad, shape[2] + pad)).inner
    training, sampling = DDPMScheduler(1000), DDIMScheduler(1000)

    def loss(x: Tensor) -> Tensor:
        x = torch.nn.functional.pad(x, (0, pad, 0, pad), value=-1.0)
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        return (network(training.add_noise(x, noise, t), t, return_dict=False)[0] - noise).square().mean()

    def sample(count: int) -> Tensor:
        x = torch.randn(count, shape[0], shape[1] + pad, shape[2] + pad)
        sampling.set_timesteps(50)
        for t in sampling.timesteps:
            x = sampling.step(network(x, t, return_dict=False)[0], t, x).prev_sample
        return x[:, :, : shape[1], : shape[2]]

    return network, loss, sample


OTHERS = {"lucidrains": lucidrains, "diffusers": diffusers}


def others(side: str, evaluator: Evaluator, *, marks: list[float], count: int) -> Iterable[Row]:
    """One run of another toolkit's recipe, judged at every mark (a constant rate needs no run of its own for each)."""
    keep_memory()
    torch.manual_seed(0)
    module, loss, sample = OTHERS[side](evaluator.dataset)
    averaged = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4, betas=(0.9, 0.99))
    spent, steps = 0.0, 0
    for mark in marks:
        meter = Meter()
        while spent < mark:
            began = time.perf_counter()
            rows = evaluator.train[torch.randint(0, len(evaluator.train), (16,))]
            optimizer.zero_grad()
            loss(evaluator.dataset.rows(rows)).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            steps += 1
            if steps % 10 == 0:
                averaged.update_parameters(module)
            spent += time.perf_counter() - began
        trained = meter.read()
        yield judged(side, evaluator, module, averaged, sample, mark=mark, count=count, steps=steps, trained=trained)


@torch.inference_mode()
def judged(
    side: str,
    evaluator: Evaluator,
    module: torch.nn.Module,
    averaged: Any,
    sample: Callable[[int], Tensor],
    **told: Any,
) -> Row:
    """Samples of the averaged weights; the weights in training are put back."""
    own = [p.clone() for p in module.parameters()]
    for p, mean in zip(module.parameters(), averaged.module.parameters(), strict=True):
        p.copy_(mean)
    began, count = time.perf_counter(), told["count"]
    x = torch.cat([sample(min(100, count - k)) for k in range(0, count, 100)])
    for p, kept in zip(module.parameters(), own, strict=True):
        p.copy_(kept)
    row = {
        **here(), "data": evaluator.dataset.spec.name, "side": side, "seconds": told["mark"], "evaluations": 50,
        "samples": count, "distance": round(evaluator.distance(x), 2),
        "sampling_seconds": round(time.perf_counter() - began, 1),
        "updates": told["steps"], "parameters": parameters(module), "training": told["trained"],
        "real": round(evaluator.floor(count), 2),
    }  # fmt: skip
    print(row, flush=True)
    return row


def merged(rows: list[Row]) -> list[Row]:
    """The rows of the file, those with the same key replaced."""
    kept = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.is_file() else []
    table = {tuple(row[k] for k in KEYS): row for row in [*kept, *rows]}
    return [table[key] for key in sorted(table, key=str)]


def draw(rows: list[Row]) -> None:
    """Distance against seconds of training: a panel for every data set, a line for every side and precision."""
    shown = [row for row in rows if row["evaluations"] == (10 if row["side"] == "reverie" else 50)]
    sets, sides = sorted({row["data"] for row in shown}), sorted({(row["side"], row["precision"]) for row in shown})
    figure = Figure((3.4 * len(sets), 3.6), layout="constrained")
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, sets, strict=True):
        for colour, (side, precision) in zip(COLOURS, sides, strict=False):
            own = [row for row in shown if (row["data"], row["side"], row["precision"]) == (name, side, precision)]
            own.sort(key=lambda row: row["seconds"])
            across, up = [row["seconds"] for row in own], [row["distance"] for row in own]
            axes.plot(across, up, color=colour, marker="o", markersize=4, label=f"{side}, {precision}")
        axes.set(title=name, xscale="log", yscale="log", xlabel="seconds of training")
        axes.set_xticks(marks := [30, 60, 180, 600, 1200], [str(mark) for mark in marks])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("Fréchet distance (real images: 2)")
    panels[0].legend(frameon=False)
    PICTURE.write_bytes(render(figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=["digits"], help="labelled images")
    parser.add_argument("--seconds", type=float, nargs="+", default=[30.0, 60.0, 180.0, 600.0])
    parser.add_argument("--side", choices=["reverie", *OTHERS], default="reverie")
    parser.add_argument("--model", help="judge this run instead of training one; --seconds says how long it took")
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS, help="of our sampler")
    parser.add_argument("--count", type=int, default=2000, help="samples")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, to see that it works")
    chosen = parser.parse_args()
    marks, count = ([2.0], 64) if chosen.quick else (chosen.seconds, chosen.count)
    budgets = [2] if chosen.quick else chosen.evaluations
    rows: list[Row] = []
    for path in chosen.data:
        evaluator = Evaluator(open_data(path), epochs=1 if chosen.quick else 3)
        print(
            f"{evaluator.dataset.spec.name}: the evaluator names {evaluator.accuracy():.2%} of held-out images rightly"
        )
        if chosen.model:
            spent = float(chosen.seconds[0])
            rows += of_model(load(chosen.model), evaluator, count=count, seconds=spent, trained={}, budgets=budgets)
        elif chosen.side == "reverie":
            rows += [row for mark in marks for row in ours(path, evaluator, seconds=mark, count=count, budgets=budgets)]
        else:
            rows += others(chosen.side, evaluator, marks=sorted(marks), count=count)
    if not chosen.quick:
        rows = merged(rows)
        write("time_to_quality", {"rows": rows})
        draw(rows)


if __name__ == "__main__":
    main()
