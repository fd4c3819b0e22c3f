"""Autoencoder, diffusion, and diffusion in the autoencoder's codes, side by side on one set of pictures.

    python -m benchmarks.vae DATA --updates N --out RUNS [--picture FILE]
Trains what RUNS lacks, as `reverie train` would: `pixel` and `latent` for N updates of 128, the autoencoder
`vae` for 2 N of 64. Bits per dimension are bounds on held-out pictures (continuous time for the two
diffusion models, 32 codes a picture for the autoencoder, whose plain bound stands beside it).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.side_by_side import DRAWN, SCORED, Scene, parser, plain_run, report, trained
from reverie import networks
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.data import open_data
from reverie.likelihoods import Likelihood
from reverie.networks import Vae
from reverie.training.autoencoding import train_vae
from reverie.training.codes import load_stage
from reverie.training.model import Model
from reverie.training.scoring import Effort, likelihood_for


def autoencoder(path: Path, scene: Scene) -> tuple[dict[str, Any], Tensor]:
    """Numbers and samples of the autoencoder alone: codes from N(0, I)."""
    vae: Vae = load_stage(path, scene.data.spec)[1].autoencoder
    x0, rng = scene.data.rows(scene.held[:SCORED]), Rng(2)
    terms = vae.terms(x0, rng=rng.fork("terms"))
    tight = bits_per_dim(vae.importance(x0, samples=32, rng=rng.fork("importance")), x0[0].numel())
    plain = {name: float(bits_per_dim(v.mean(), x0[0].numel())) for name, v in terms.items()}
    began = time.perf_counter()
    x = vae.sample(DRAWN, rng=Rng(1))
    return {
        "numbers": math.prod(vae.code),
        "parameters": networks.parameters(vae),
        "ms_per_sample": 1e3 * (time.perf_counter() - began) / DRAWN,
        "bits_per_dim": float(tight.mean()),
        "error": float(tight.std() / math.sqrt(len(tight))),
        "bound_bits_per_dim": sum(plain.values()),
        "terms": plain,
        "mismatch_nats": vae.mismatch(scene.data.rows(scene.held[:DRAWN]), rng=rng.fork("mismatch")),
    } | scene.quality(x), x


def continuous(model: Model) -> Likelihood:
    """The bound in continuous time, for a model of codes with the autoencoder's terms."""
    return likelihood_for(model, "vlb", Effort(SCORED))


def makers(source: str, runs: Path, updates: int) -> dict[str, Callable[[Path], Any]]:
    """How each of the three is trained into its folder."""
    return {
        "vae": lambda path: train_vae(open_data(source, label="none"), path, steps=2 * updates),
        "latent": partial(plain_run, source, updates, {}, latent=runs / "vae"),
        "pixel": partial(plain_run, source, updates, {}),
    }


def main() -> None:
    arguments = parser(__doc__, 1500).parse_args()
    source, runs = arguments.data, Path(arguments.out)
    spent = trained(runs, makers(source, runs, arguments.updates))
    rows, sheets = {}, []
    with torch.inference_mode():
        scene = Scene(source)
        for name in ("pixel", "vae", "latent"):
            found, x = autoencoder(runs / name, scene) if name == "vae" else scene.judged(runs / name)
            rows[name] = {"core_seconds": spent[name]} | found
            rows[name] |= {} if name == "vae" else scene.bits(runs / name, continuous)
            sheets.append(x)
        report("vae", scene, rows, sheets, arguments)


if __name__ == "__main__":
    main()
