"""Autoencoder, diffusion, and diffusion in the autoencoder's codes, side by side on one set of pictures.

    python -m benchmarks.vae DATA --updates N --out RUNS [--picture FILE]
Trains what RUNS lacks, as `reverie train` would: `pixel` and `latent` for N updates of the default batch, the
autoencoder `vae` for 2 N of a smaller one; core seconds of each are kept. Bits per dimension are bounds on held-out
pictures (continuous time for the two diffusion models, 32 codes a picture for the autoencoder, whose plain bound stands
beside it); quality is the Fréchet distance of samples to held-out pictures in the features of a classifier, with that
of training pictures as the floor; speed is that of the denoiser and of a whole sample, on one batch. The autoencoder
knows no labels, which are worth at most log₂ 10 bits a picture.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import write
from reverie import networks, pictures
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.data import Dataset, open_data, to_picture
from reverie.evaluation.features import Features, choose
from reverie.metrics import estimate, frechet_distance
from reverie.networks import Vae
from reverie.training.autoencoding import train_vae
from reverie.training.codes import load_stage
from reverie.training.model import Model, load
from reverie.training.scoring import Effort, likelihood_for, score
from reverie.training.session import Session

SCORED, DRAWN, TIMED = 150, 1000, 64


def trained(source: str, runs: Path, updates: int) -> dict[str, Path]:
    """The three folders, made where they are missing, with the core seconds that each took in `RUNS/spent.json`."""
    paths = {name: runs / name for name in ("vae", "latent", "pixel")}
    runs.mkdir(parents=True, exist_ok=True)
    chosen = {"training": {"steps": updates, "previews": 1, "checkpoints": 1}}
    make: dict[str, Callable[[], Any]] = {
        "vae": lambda: train_vae(open_data(source), paths["vae"], steps=2 * updates),
        "latent": lambda: Session.begin(source, chosen, path=paths["latent"], latent=paths["vae"]).go(),
        "pixel": lambda: Session.begin(source, chosen, path=paths["pixel"]).go(),
    }
    spent = json.loads((runs / "spent.json").read_text()) if (runs / "spent.json").exists() else {}
    for name, path in paths.items():
        if not path.exists():
            began = time.process_time()
            make[name]()
            spent[name] = round(time.process_time() - began, 1)
            (runs / "spent.json").write_text(json.dumps(spent))
    return paths


def of_model(
    path: Path, dataset: Dataset, held: Tensor, *, method: str = "vlb", v: float | None = None
) -> tuple[dict[str, Any], Tensor]:
    """Numbers and samples of a diffusion model."""
    model: Model = load(path)
    effort = Effort(min(SCORED, len(held)))
    part = score(model, dataset, held[: effort.count], likelihood_for(model, method, effort, v=v), name="held-out")
    bits, error = part.mean()
    began = time.perf_counter()
    x = model.draw(DRAWN, seed=1)
    seconds = (time.perf_counter() - began) / DRAWN
    steps = int(model.config["sampling"]["steps"])
    noised = Rng(0).normal(torch.empty(TIMED, *model.seen.shape))
    return {
        "bits_per_dim": bits,
        "error": error,
        "terms": {name: float(bits_per_dim(v.mean(), model.spec.dimensions)) for name, v in part.bound.terms.items()},
        "ms_per_step": 1e3 * timed(lambda: model(noised, 0.5)) / TIMED,
        "ms_per_sample": 1e3 * seconds,
        "steps": steps,
        "numbers": model.seen.dimensions,
        "parameters": networks.parameters(model),
        "updates": model.summary.get("steps"),
    }, x


def of_vae(path: Path, dataset: Dataset, held: Tensor) -> tuple[dict[str, Any], Tensor]:
    """Numbers and samples of the autoencoder alone: codes from N(0, I)."""
    vae: Vae = load_stage(path, dataset.spec)[1].autoencoder
    x0, rng = dataset.rows(held[:SCORED]), Rng(2)
    terms = vae.terms(x0, rng=rng.fork("terms"))
    tight = bits_per_dim(vae.importance(x0, samples=32, rng=rng.fork("importance")), x0[0].numel())
    plain = {name: float(bits_per_dim(v.mean(), x0[0].numel())) for name, v in terms.items()}
    began = time.perf_counter()
    x = vae.sample(DRAWN, rng=Rng(1))
    seconds = (time.perf_counter() - began) / DRAWN
    return {
        "bits_per_dim": float(tight.mean()),
        "error": float(tight.std() / math.sqrt(len(tight))),
        "bound_bits_per_dim": sum(plain.values()),
        "terms": plain,
        "ms_per_sample": 1e3 * seconds,
        "numbers": math.prod(vae.code),
        "parameters": networks.parameters(vae),
        "mismatch_nats": vae.mismatch(dataset.rows(held[:DRAWN]), rng=rng.fork("mismatch")),
    }, x


def timed(call: Callable[[], Any], repeats: int = 7) -> float:
    """Seconds of a call: the fastest of some."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return min(spent)


def frechet(space: Features, x: Tensor, real: Tensor) -> dict[str, float]:
    found = estimate(frechet_distance, space.of(x), space.of(real))
    return {"frechet": found.value, "frechet_error": found.error}


def scene(dataset: Dataset) -> tuple[Tensor, Tensor, Features, dict[str, float]]:
    """Numbers of held-out pictures, the pictures that samples are held against, the features, and the floor."""
    train, held = dataset.split(0.1, 0)
    known = dataset.rows(train[:10_000])
    space = choose("classifier", known, dataset.labels(train[:10_000]))
    real = dataset.rows(held[:DRAWN])
    return held, real, space, frechet(space, known[Rng(3).uniform(len(known)).argsort()[: len(real)]], real)


def picture(file: str, rows: list[Tensor], dataset: Dataset) -> None:
    """Some pictures of each kind, two lines each."""
    together = torch.cat([x[:40] for x in rows])
    Path(file).write_bytes(pictures.png(pictures.grid(to_picture(together, dataset.spec), columns=20)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--out", required=True, metavar="RUNS")
    parser.add_argument("--picture", metavar="FILE")
    arguments = parser.parse_args()
    paths = trained(arguments.data, Path(arguments.out), arguments.updates)
    dataset = open_data(arguments.data)
    with torch.inference_mode():
        held, real, space, floor = scene(dataset)
        rows: dict[str, Any] = {"floor": floor}
        sheets = [real]
        for name, of in (("pixel", of_model), ("vae", of_vae), ("latent", of_model)):
            numbers, x = of(paths[name], dataset, held)
            rows[name] = numbers | frechet(space, x, real)
            sheets.append(x)
            print(name, rows[name], flush=True)
    print("floor", floor)
    spent = json.loads((Path(arguments.out) / "spent.json").read_text())
    if arguments.picture:
        picture(arguments.picture, sheets, dataset)
    write(f"vae_{dataset.spec.name}", {"updates": arguments.updates, "core_seconds": spent, "models": rows})


if __name__ == "__main__":
    main()
