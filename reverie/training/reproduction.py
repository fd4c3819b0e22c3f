"""The experiments of a paper, run again: what it printed beside what comes out here.

`sohl-dickstein-2015`: MNIST is in `mnist_2015`; the swiss roll and the heartbeat are Table 1 of Sohl-Dickstein et al.
2015, arXiv:1503.03585: K, a lower bound on log₂ p(x_0), bits for a whole example, and K − L_null with L_null the value
under the prior alone. The table's edge convention: the sum of divergences starts at t = 2, and p(x_0 | x_1) is not
learnt but the forward kernel of the first step turned round, which for a process that keeps its prior is q itself (the
paper's section 2.4 and appendix B, equation 14). Beside it stands the ordinary bound, whose last step reads x_0 from
the denoiser's posterior.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.likelihoods import Elbo
from reverie.losses import CrossEntropy, Discrete
from reverie.training import heartbeat, swiss_roll
from reverie.training.fitting import fit
from reverie.training.mnist_2015 import mnist

__all__ = ["EXPERIMENTS", "PAPERS", "Row", "mnist", "table", "table_bound"]


@dataclass(frozen=True)
class Row:
    """One line of the table: bits for an example, with standard errors over examples and noise."""

    name: str
    bound: float
    error: float
    ordinary: float
    null: float
    limit: float
    paper_bound: float
    paper_gain: float
    seconds: float

    @property
    def gain(self) -> float:
        """K − L_null."""
        return self.bound - self.null


EDGES = 100  # draws of x_1 for the edge, which costs no network
Say = Callable[[str, int, int], None]  # (experiment, updates done, of how many)


@torch.no_grad()
def table_bound(
    denoiser: Denoiser, x0: Tensor, steps: int, *, rng: Rng, terms: int | None = None
) -> tuple[Tensor, Tensor]:
    """(K by the table's edge convention, the ordinary bound), bits for each example, (B,) each."""
    bound = Elbo(steps=steps, terms=terms)(denoiser, x0, rng=rng.fork("bound"))
    first = 1 / steps
    ends = (denoiser.process.marginal(x0, first).sample(rng.fork("edge", k)) for k in range(EDGES))
    edge = torch.stack([denoiser.process.transition(x1, 0.0, first).log_prob(x0) for x1 in ends]).mean(0)
    shared = bound.terms["prior"] + bound.terms["denoising"]
    return (edge - shared) / math.log(2), bound.log_prob / math.log(2)


def _row(
    name: str, values: tuple[Tensor, Tensor], known: tuple[float, float], paper: tuple[float, float], began: float
) -> Row:
    """`known`: L_null and the highest K there is; `paper`: its K and K − L_null."""
    bound, ordinary = values
    error = float(bound.std()) / math.sqrt(len(bound))
    seconds = time.monotonic() - began
    return Row(name, float(bound.mean()), error, float(ordinary.mean()), *known, *paper, seconds)


def binary_heartbeat(say: Say, *, updates: int = 7000, quick: bool = False) -> Row:
    """Train on fresh sequences, then the bound of T = 2000 on each of the five, 40 times; `quick`: few terms, once."""
    began, denoiser, steps = time.monotonic(), heartbeat.BitNetwork(heartbeat.process()), heartbeat.STEPS
    loss = CrossEntropy(bound=1.0, auxiliary=0.2, steps=steps, times=Discrete(steps=steps))
    for k, _ in enumerate(fit(denoiser, loss, heartbeat.batch_of, updates=updates, size=512, rate=1e-2)):
        say("binary heartbeat", k + 1, updates)
    x0 = heartbeat.sequences().repeat(1 if quick else 40, 1)
    values = table_bound(denoiser, x0, steps, rng=Rng(1), terms=4 if quick else None)
    return _row("binary heartbeat", values, (heartbeat.NULL, heartbeat.TRUTH), (-2.414, 12.024), began)


def swiss(say: Say, *, updates: int = 400, quick: bool = False) -> Row:
    """Train on 512 fresh points at each step, then the bound of T = 40 on 4,000 fresh ones; `quick`: on few."""
    began = time.monotonic()
    denoiser = swiss_roll.RadialBasis(swiss_roll.along(16))
    learning = swiss_roll.learn(denoiser, updates=updates, size=64 if quick else 512, last=1 if quick else 40)
    for k, _ in enumerate(learning):
        say("swiss roll", k + 1, updates)
    x0 = swiss_roll.points(100 if quick else 4000, Rng(2))
    values = table_bound(denoiser, x0, swiss_roll.STEPS, rng=Rng(3))
    return _row("swiss roll", values, (swiss_roll.NULL, swiss_roll.ceiling()), (2.35, 6.45), began)


EXPERIMENTS: dict[str, Callable[..., Row]] = {"swiss-roll": swiss, "heartbeat": binary_heartbeat}
PAPERS = {"sohl-dickstein-2015": EXPERIMENTS}


def table(rows: list[Row]) -> str:
    """The rows as text, ours beside the paper's."""
    head = (
        f"{'':18}{'K':>17}{'K - L_null':>12}{'paper K':>9}{'paper K - L_null':>18}{'highest K':>11}"
        f"{'ordinary bound':>16}{'seconds':>9}"
    )
    lines = [
        f"{r.name:18}{f'{r.bound:.3f} ± {r.error:.3f}':>17}{r.gain:>12.3f}{r.paper_bound:>9.3f}{r.paper_gain:>18.3f}"
        f"{r.limit:>11.3f}{r.ordinary:>16.3f}{r.seconds:>9.0f}"
        for r in rows
    ]
    note = (
        "bits for an example, higher is better. K by the table's edge convention: the sum starts at t = 2, and\n"
        "p(x0|x1) is the forward kernel; the ordinary bound reads x0 from the denoiser's posterior instead. The\n"
        "highest K of the heartbeat is that of its law; the roll has no noise, and the highest K there is that of\n"
        f"beta_1 = {swiss_roll.FIRST:g}, which the paper does not give."
    )
    return "\n".join([head, *lines, note])
