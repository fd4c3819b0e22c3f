"""Bits per character of the generated text: categorical diffusion beside a trigram model, on fresh windows.

python -m benchmarks.text_bits absorbing --updates 1300                    about a minute of one core
python -m benchmarks.text_bits uniform --updates 3000                      about two
python -m benchmarks.text_bits uniform --network dit --updates 3000
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch import Tensor

from benchmarks.machine import write
from reverie.core.discrete import level, state
from reverie.core.rng import Rng
from reverie.data.builtin import draw
from reverie.data.discrete import ALPHABET, spelt
from reverie.denoisers import TokenDenoiser
from reverie.likelihoods import Elbo, evaluate
from reverie.losses import CrossEntropy
from reverie.networks import Dit, Network, Unet
from reverie.processes import Absorbing, Uniform
from reverie.samplers import Ancestral, sample
from reverie.training.fitting import fit

LETTERS = len(ALPHABET)
METHODS = {
    "absorbing": (Absorbing(bins=LETTERS), CrossEntropy(bound=0.0, auxiliary=1.0, even=True)),
    "uniform": (Uniform(bins=LETTERS), CrossEntropy(bound=1.0, auxiliary=0.05)),
}


def network(name: str, shape: tuple[int, ...]) -> Network:
    """A U-Net over places, or a transformer with a token for each."""
    if name == "dit":
        return Dit(shape=shape, width=96, depth=4, heads=4, patch=1)
    return Unet(shape=shape, width=32, multipliers=(1, 2, 2), attention=(1, 2))


def trigram(train: Tensor, test: Tensor) -> Tensor:
    """Bits per character of each row under counts of three letters, smoothed by those of two and of one; (N,)."""
    one = torch.bincount(train.flatten(), minlength=LETTERS).double()
    two = torch.bincount((train[:, :-1] * LETTERS + train[:, 1:]).flatten(), minlength=LETTERS**2).double()
    three = (train[:, :-2] * LETTERS + train[:, 1:-1]) * LETTERS + train[:, 2:]
    counts = torch.bincount(three.flatten(), minlength=LETTERS**3).double().reshape(LETTERS, LETTERS, LETTERS)
    p1 = one / one.sum()
    p2 = (two.reshape(LETTERS, LETTERS) + 2 * p1) / (two.reshape(LETTERS, LETTERS).sum(1, keepdim=True) + 2)
    p3 = (counts + 2 * p2[None]) / (counts.sum(2, keepdim=True) + 2)
    later = p3[test[:, :-2], test[:, 1:-1], test[:, 2:]].log2().sum(1)
    return -(p1[test[:, 0]].log2() + p2[test[:, 0], test[:, 1]].log2() + later) / test.shape[1]


def mean_and_error(bits: Tensor) -> list[float]:
    return [float(bits.mean()), float(bits.std()) / math.sqrt(len(bits))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--network", choices=("unet", "dit"), default="unet")
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--updates", type=int, default=1300)
    parser.add_argument("--test", type=int, default=200, help="fresh windows to score")
    arguments = parser.parse_args()
    train, test = draw("text", 16_384, seed=0).long(), draw("text", arguments.test, seed=5).long()
    counted = mean_and_error(trigram(train, test))
    print("trigram      {:.3f} ± {:.3f} bits per character".format(*counted))
    process, loss = METHODS[arguments.method]
    asked, _ = TokenDenoiser.asks((1, 64), {"width": 16})
    denoiser = TokenDenoiser(process, network(arguments.network, asked), width=16)
    rows, began = level(train, LETTERS, torch.empty(0))[:, None], time.process_time()
    updates = fit(
        denoiser, loss, lambda n, rng: rows[rng.integers(n, len(rows))], updates=arguments.updates, size=64,
        rate=arguments.rate,
    )  # fmt: skip
    list(updates)
    spent = time.process_time() - began
    x0 = level(test, LETTERS, torch.empty(0))[:, None]
    bits = evaluate(Elbo(steps=1000, terms=24), denoiser, x0, rng=Rng(9), chunk=200).bits_per_dim()
    found = mean_and_error(bits)
    print("{:12} {:.3f} ± {:.3f} bits per character, {:.0f} core seconds".format(arguments.method, *found, spent))
    drawn = sample(denoiser, (4, 1, 64), sampler=Ancestral(), steps=64, rng=Rng(4))
    words = spelt(state(drawn, LETTERS)[:, 0])
    print("\n".join(words))
    result = {"trigram": counted, "bits": found, "core_seconds": spent, "updates": arguments.updates, "samples": words}
    write(f"text_{arguments.method}_{arguments.network}", result)


if __name__ == "__main__":
    main()
