"""An autoencoder trained by itself on the two terms of its bound, and kept as the first stage of latent diffusion.

    L = −log p(x | e) + KL(q(e | x) ‖ N(0, I)),  e ~ q(e | x)       in bits per dimension
The codes' centre and spread over the training data are kept beside the weights.
Reference: Kingma & Welling 2014, arXiv:1312.6114, equation 10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie import networks, pictures
from reverie.core import catalog, files
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.data import Dataset, Spec, is_picture, to_picture
from reverie.denoisers import Stage
from reverie.networks import Vae
from reverie.training import artefacts, kept
from reverie.training.assemble import build_stage
from reverie.training.codes import KIND
from reverie.training.fitting import fit, length
from reverie.training.view import Silent, View

MEASURED = 2000  # examples that moments, bits and the gap to the prior are measured on
SHOWN = 32  # pairs of an example and its reconstruction


def cost(vae: Any, x: Tensor, *, rng: Rng) -> Tensor:
    """The bound on −log p(x), bits per dimension (B,)."""
    return bits_per_dim(sum(vae.terms(x, rng=rng).values()), x[0].numel())


def suited(spec: Spec) -> dict[str, Any]:
    """An autoencoder for this kind of data: convolutions where there is space, layers for points and rows."""
    if len(spec.shape) > 1:
        return {"name": "conv-vae"}
    return {"name": "dense-vae", "latent": max(1, min(8, spec.dimensions // 2))}


def train_vae(
    dataset: Dataset,
    path: str | Path,
    *,
    network: dict[str, Any] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch: int = 64,
    rate: float = 2e-3,
    holdout: float = 0.1,
    seed: int = 0,
    view: View | None = None,
) -> Stage:
    """Train on a dataset and write the folder `path`: config.json, model.safetensors and pictures.

    `minutes` are turned into updates by timing the first ones; 2000 of them where neither is given. Raises UserError
    for an unknown option, lengths below 1, or an existing folder.
    """
    view, spec, folder = view or Silent(), dataset.spec, Path(path)
    if folder.exists():
        raise UserError(f"'{path}' already exists; choose another folder with --out")
    if (steps is not None and steps < 1) or batch < 1:
        raise UserError(f"steps and batch must be at least 1, not {steps} and {batch}")
    own = suited(spec)
    own = own if (network or {}).get("name", own["name"]) == own["name"] else {}
    stage = build_stage({"stage": {**own, "bins": spec.scale.bins or 0, **(network or {})}}, spec)
    vae: Vae = stage.autoencoder.requires_grad_(True)
    networks.keep_memory()
    train, held = dataset.split(holdout, seed)
    precision = networks.precision("auto")

    def draw(count: int, rng: Rng) -> Tensor:
        return dataset.rows(train[rng.integers(count, len(train))])

    def loss(vae: Any, x: Tensor, *, rng: Rng) -> Tensor:
        with precision():
            return cost(vae, x, rng=rng)

    def updates(count: int) -> Iterator[float]:
        networks.initialise(vae, seed)
        return fit(vae, loss, draw, updates=count, size=batch, rate=rate, seed=seed)

    steps = length(updates, minutes=minutes, steps=steps, usual=2000)
    size = f"{'×'.join(map(str, vae.code))} = {math.prod(vae.code)} numbers for {spec.dimensions}"
    view.say(f"autoencoder with codes of {size}: {steps} updates of {batch} on {len(train)} examples")
    for number, value in enumerate(updates(steps), 1):
        if not math.isfinite(value):
            raise FloatingPointError("the autoencoder's loss is not finite; lower the learning rate")
        if number % max(1, steps // 10) == 0:
            view.say(f"update {number}: {value:.4f} bits/dim")
    stage.eval().requires_grad_(False)
    stage.standardise(dataset.rows(train[:MEASURED]), rng=Rng(seed).fork("standardise"))
    looked = dataset.rows((held if len(held) else train)[:MEASURED])
    summary = measured(vae, looked) | {"steps": steps, "examples": len(train)}
    view.say(", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in summary.items() if "bits" in name))
    described = {key: value for key, value in catalog.describe("networks", vae).items() if key != "shape"}
    config = {"network": described, "batch": batch, "learning_rate": rate, "seed": seed}
    files.make_folder(folder.parent)
    files.write_folder(folder, kept.contents(KIND, spec, config, summary, stage) | drawn(vae, looked, spec))
    view.say(f"written: {folder}")
    view.say(f"try next: reverie train DATA --latent {folder}")
    return stage


@torch.inference_mode()
def measured(vae: Vae, x: Tensor) -> dict[str, float]:
    """Bits per dimension, its two terms, and nats between the law of codes and the prior (both taken as normals)."""
    rng = Rng(0).fork("autoencoder")
    terms = [vae.terms(some, rng=rng.fork(k)) for k, some in enumerate(x.split(250))]
    means = {name: float(torch.cat([part[name] for part in terms]).mean()) for name in terms[0]}
    bits = {f"{name}_bits_per_dim": float(bits_per_dim(value, x[0].numel())) for name, value in means.items()}
    codes = math.prod(vae.code)
    gap = {"mismatch_nats": vae.mismatch(x, rng=rng.fork("mismatch"))} if len(x) > 2 * codes else {}
    return {"bits_per_dim": sum(bits.values()), **bits, **gap}


@torch.inference_mode()
def drawn(vae: Vae, x: Tensor, spec: Spec) -> dict[str, bytes]:
    """samples.png: codes from the prior, decoded; reconstructions.png: examples above what their codes decode to."""
    samples = vae.sample(artefacts.sheet_size(spec), rng=Rng(0))
    found = {"samples.png": artefacts.sheet(samples, spec, x)}
    if is_picture(spec):
        some = x[:SHOWN]
        back = vae.read(vae.encode(some).mean)
        rows = torch.stack((some.reshape(-1, 16, *spec.shape), back.reshape(-1, 16, *spec.shape)), 1)
        found["reconstructions.png"] = pictures.png(pictures.grid(to_picture(rows.flatten(0, 2), spec), columns=16))
    return found
