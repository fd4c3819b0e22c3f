"""What a log-density costs and how far off it is, on an exact posterior whose density is known.

    python -m benchmarks.likelihood [--quick]
The data are draws of an 8-dimensional mixture of Gaussians, so −log p is known: `bias` is the mean of what a method
says less that, `spread` the standard deviation of it over examples, both in nats per example.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.machine import Meter, write
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, Mixture
from reverie.likelihoods import Adaptive, Elbo, Hutchinson, Importance, Likelihood, Ode, RungeKutta, Vlb
from reverie.processes import Gaussian, VpCosine

DIMENSIONS, COMPONENTS, STD = 8, 6, 0.3
METHODS: tuple[tuple[str, Likelihood], ...] = (
    ("bound of 50 steps, every term", Elbo(steps=50)),
    ("bound of 1,000 steps, every term", Elbo(steps=1000)),
    ("bound of 1,000 steps, 50 terms drawn", Elbo(steps=1000, terms=50)),
    ("bound in continuous time, 64 terms", Vlb()),
    ("importance, 16 particles of 50 steps", Importance(steps=50)),
    ("flow, exact trace, adaptive", Ode(solver=Adaptive())),
    ("flow, exact trace, 32 steps", Ode(solver=RungeKutta(32))),
    ("flow, Hutchinson's trace, 32 steps", Ode(divergence=Hutchinson(), solver=RungeKutta(32))),
)


class Counted(Denoiser):
    """A denoiser that counts how many examples it is asked about."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner, self.process, self.asked = inner, inner.process, 0

    def forward(self, xt: Tensor, t: float | Tensor):  # type: ignore[no-untyped-def]
        self.asked += len(xt)
        return self.inner(xt, t)


def oracle() -> tuple[Mixture, Callable[[int], Tensor]]:
    """A mixture at random places, and draws from it."""
    places = Rng(0).fork("places").normal(torch.empty(COMPONENTS, DIMENSIONS, dtype=torch.float64)) * 0.5
    weights = torch.full((COMPONENTS,), 1 / COMPONENTS, dtype=torch.float64)
    stds = torch.full((COMPONENTS,), STD, dtype=torch.float64)
    exact = Mixture(Gaussian(VpCosine()), weights, places, stds)

    def draw(count: int) -> Tensor:
        which = Rng(1).fork("which").integers(count, COMPONENTS)
        return places[which] + STD * Rng(1).fork("noise").normal(torch.empty(count, DIMENSIONS, dtype=torch.float64))

    return exact, draw


def measured(name: str, method: Likelihood, count: int) -> dict[str, object]:
    exact, draw = oracle()
    denoiser, x0 = Counted(exact), draw(count)
    began = time.perf_counter()
    said = method(denoiser, x0, rng=Rng(2)).total
    seconds = time.perf_counter() - began
    off = said + exact.law().log_prob(x0)
    return {
        "method": name, "bias": round(float(off.mean()), 4), "error_of_bias": round(float(off.std() / count**0.5), 4),
        "spread": round(float(off.std()), 4), "evaluations": round(denoiser.asked / count, 1),
        "microseconds": round(1e6 * seconds / count, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few examples, to see that it works")
    chosen = parser.parse_args()
    meter, rows = Meter(), []
    for name, method in METHODS:
        rows.append(measured(name, method, 8 if chosen.quick else 1000))
        print(rows[-1], flush=True)
    if not chosen.quick:
        write("likelihood", {"dimensions": DIMENSIONS, "rows": rows, "machine": meter.read()})


if __name__ == "__main__":
    main()
