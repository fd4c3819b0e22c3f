"""Modes that a GAN keeps: four conditional steps beside one, with the same networks, data and updates.

python -m benchmarks.gan_modes --picture modes.png                     about two minutes of one core
On the built-in mixture of 8 normal laws on a circle, of unequal weights. A mode is kept when at least a quarter of its
due share of samples lies within four of its standard deviations. `good`: the share of samples that lie so near to a
mode. `uneven`: KL(shares of the modes ‖ their weights), nats.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.machine import write
from reverie.core.rng import Rng
from reverie.data.builtin import mixture, mixture_truth
from reverie.denoisers import F, ImplicitDenoiser
from reverie.losses import Adversarial
from reverie.networks import Mlp, initialise
from reverie.pictures.plots import clouds, render
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ancestral, sample
from reverie.training.fitting import fit

TRUTH = mixture_truth()


def made(steps: int, seed: int, asked: argparse.Namespace) -> Tensor:
    """5,000 samples of a GAN of `steps` steps after training."""
    networks = [Mlp(shape=(n,), width=asked.width, depth=2) for n in (10, 4)]
    denoiser = ImplicitDenoiser(Gaussian(VpLinear()), networks[0], F(), networks[1], latent=8)
    initialise(denoiser, seed)
    loss = Adversarial(steps=steps, penalty=asked.penalty)
    fresh = lambda count, rng: mixture(count, rng)[0].float()  # noqa: E731
    updates = fit(
        denoiser, loss, fresh, updates=asked.updates, size=asked.batch, rate=asked.rate, beta1=asked.beta1, seed=seed
    )
    list(updates)
    return sample(denoiser, (5000, 2), sampler=Ancestral(), steps=steps, rng=Rng(seed).fork("judged"))


def judged(x: Tensor) -> dict[str, float]:
    """Modes kept, the share of good samples, and how far the modes' shares are from their weights."""
    distance, mode = torch.cdist(x.double(), TRUTH.means).min(1)
    good = distance < 4 * TRUTH.stds[mode]
    counts = torch.bincount(mode[good], minlength=len(TRUTH.weights)).double()
    share = counts / counts.sum().clamp(min=1)
    uneven = float((share * (share / TRUTH.weights).clamp(min=1e-12).log()).sum())
    kept = (counts >= 0.25 * len(x) * TRUTH.weights).sum()
    return {"kept": float(kept), "good": float(good.double().mean()), "uneven": uneven}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--beta1", type=float, default=0.0, help="Adam's momentum")
    parser.add_argument("--penalty", type=float, default=0.01)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--picture", help="where to draw the samples of the first seed")
    arguments = parser.parse_args()
    rows, panels = [], {"data": mixture(2000, Rng(0))[0].numpy()}
    for steps in (4, 1):
        for seed in range(arguments.seeds):
            began = time.monotonic()
            x = made(steps, seed, arguments)
            rows.append({"steps": steps, "seed": seed, **judged(x), "seconds": time.monotonic() - began})
            print("  ".join(f"{k} {v:.3g}" for k, v in rows[-1].items()), flush=True)
            if not seed:
                panels[f"{steps} step{'s' * (steps > 1)}"] = x[:2000].numpy()
    if arguments.picture:
        Path(arguments.picture).write_bytes(render(clouds(panels, columns=3)))
    options = {name: value for name, value in vars(arguments).items() if name != "picture"}
    write("gan_modes", {"options": options, "rows": rows})


if __name__ == "__main__":
    main()
