"""What a sampler costs beside the network: microseconds of bookkeeping a step, reverie beside diffusers' schedulers.

    python -m benchmarks.sampling            writes benchmarks/results/sampling.json and prints the table

The network is replaced by a tensor that is already there, so what is timed is the sampler and the loop around it:
batch 1 (one thread) and batch 64 (all cores) of 3×32×32 in float32, 50 steps, the two sides in turns in one process,
median over the turns. `arithmetic` is x a + b e alone, `noise` one draw for x: torch's own, which no sampler that draws
can do without, and reverie's, where an example's numbers depend on (seed, example) alone. Every sampler of the
catalogue with its defaults. A step of some asks the network several times, so costs are shown per step and per
evaluation. Batch 64 is set beside an evaluation of a U-Net of about a million parameters, in turns on the same cores.
The share of other programs in the machine's time is recorded.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.core import catalog
from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.networks import Unet, keep_memory, parameters
from reverie.processes import Gaussian, LinearBeta
from reverie.samplers import AdamsMoulton, Angle, Sampler, trajectory

try:
    from benchmarks import peers
except ImportError:
    peers = None

STEPS, TURNS = 50, {1: 25, 64: 7}
NETWORK, EVALUATIONS = "network", 8  # so many of it a turn
RESULTS = Path(__file__).parent / "results" / "sampling.json"
OURS: tuple[Sampler, ...] = tuple(
    catalog.build("samplers", {"name": name}) for name in catalog.names("samplers", "Sampler")
)
THEIRS = {
    "DDIM": ("DDIMScheduler", {"clip_sample": False}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "DPM-Solver++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DEIS-3": ("DEISMultistepScheduler", {"solver_order": 3}),
    "UniPC-2": ("UniPCMultistepScheduler", {}),
    "DDPM": ("DDPMScheduler", {"clip_sample": False}),
    "DPM-Solver++ 2M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
}


class Ready(Denoiser):
    """A denoiser whose answer is already there."""

    process = Gaussian(LinearBeta())

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer, self.calls = Normal(answer), 0

    def forward(self, xt: Tensor, t: float) -> Normal:
        self.calls += 1
        return self.answer


def ours(sampler: Sampler, x: Tensor) -> Callable[[], Any]:
    denoiser, times = Ready(torch.zeros_like(x)), Angle(1.5).times(Ready.process, STEPS)

    @torch.inference_mode()
    def walk() -> None:
        for _ in trajectory(denoiser, sampler, x, times, rng=Rng(0)):
            pass

    return walk


def evaluations(sampler: Sampler) -> float:
    """How often a step of the walk asks the network, on average."""
    x = torch.zeros(1, 3, 32, 32)
    denoiser = Ready(x)
    for _ in trajectory(denoiser, sampler, x, Angle(1.5).times(Ready.process, STEPS), rng=Rng(0)):
        pass
    return denoiser.calls / STEPS


def theirs(name: str, options: dict[str, Any], x: Tensor) -> Callable[[], Any]:
    scheduler, out = peers.make(name, options), torch.zeros_like(x)

    @torch.inference_mode()
    def walk() -> None:
        scheduler.set_timesteps(STEPS)
        here = x
        for step in scheduler.timesteps:
            scheduler.scale_model_input(here, step)
            here = scheduler.step(out, step, here).prev_sample

    return walk


def floors(x: Tensor) -> dict[str, Callable[[], Any]]:
    """What cannot be done without: arithmetic, and noise where a sampler draws."""
    other, rng = torch.zeros_like(x), Rng(0)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "arithmetic": lambda here: (here * 0.9).add_(other, alpha=0.1),
        "noise by torch.randn": torch.randn_like,
        "noise by reverie": rng.normal,
    }

    @torch.inference_mode()
    def walk(way: Callable[[Tensor], Tensor]) -> None:
        here = x
        for _ in range(STEPS):
            here = way(here)

    return {name: functools.partial(walk, way) for name, way in ways.items()}


def busy() -> tuple[float, float]:
    """Processor seconds of this process, and of the whole machine where the system tells."""
    own = time.process_time()
    try:
        fields = [int(v) for v in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    except OSError:
        return own, own
    return own, (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def network(x: Tensor) -> tuple[Unet, Callable[[], Any]]:
    """A U-Net of about a million parameters, and some evaluations of it."""
    keep_memory()
    unet = Unet(shape=tuple(x.shape[1:]), outputs=1, width=64, multipliers=(1, 3), patch=2).eval()
    t = torch.full((len(x),), 0.5)

    @torch.inference_mode()
    def walk() -> None:
        for _ in range(EVALUATIONS):
            unet(x, t)

    return unet, walk


def measure(batch: int, walks: dict[str, Callable[[], Any]], x: Tensor) -> dict[str, Any]:
    """Microseconds a step of every sampler, and of `walks` besides."""
    walks = walks | floors(x) | {f"reverie {sampler!r}": ours(sampler, x) for sampler in OURS}
    if peers:
        walks |= {f"diffusers {name}": theirs(kind, options, x) for name, (kind, options) in THEIRS.items()}
    times: dict[str, list[float]] = {name: [] for name in walks}
    for turn in range(TURNS[batch] + 1):
        for name, walk in walks.items():
            steps = EVALUATIONS if name == NETWORK else STEPS
            start = time.perf_counter()
            walk()
            if turn:  # the first turn fills caches
                times[name].append((time.perf_counter() - start) / steps * 1e6)
    return {n: {"median": statistics.median(t), "least": min(t), "most": max(t)} for n, t in times.items()}


def memory() -> dict[str, int]:
    """Peak bytes that Python holds during a walk: the same for 50 and for 1,000 steps."""
    held = {}
    for steps in (50, 1000):
        denoiser = Ready(torch.zeros(1, 3, 32, 32))
        times = Angle(1.5).times(Ready.process, steps)
        for _ in range(2):  # the second walk finds its coefficients in the cache
            tracemalloc.start()
            for _ in trajectory(denoiser, AdamsMoulton(2), torch.ones(1, 3, 32, 32), times, rng=Rng(0)):
                pass
            held[str(steps)] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    return held


def rows(tables: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each sampler: medians at both batches, per evaluation, and as a share of the network's time."""
    calls = {f"reverie {sampler!r}": evaluations(sampler) for sampler in OURS}
    table = []
    for name in tables["1"]:
        single, many = (tables[batch][name]["median"] for batch in ("1", "64"))
        each = calls.get(name, 1)
        table.append(
            {
                "sampler": name,
                "evaluations": each,
                "batch_1": single,
                "batch_1_per_evaluation": single / each,
                "batch_64": many,
                "share_at_64": many / each / tables["64"][NETWORK]["median"],
            }
        )
    return table


def main() -> None:
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    unet, asked = network(x)
    threads = torch.get_num_threads()
    own, whole = busy()
    tables = {"64": measure(64, {NETWORK: asked}, x)}
    torch.set_num_threads(1)
    tables["1"] = measure(1, {}, x[:1].clone())
    own_end, whole_end = busy()
    foreign = 1 - (own_end - own) / max(whole_end - whole, 1e-9)
    machine = {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}
    table = rows(tables)
    network_at_64 = {"parameters": parameters(unet), "threads": threads}
    network_at_64["milliseconds"] = tables["64"][NETWORK]["median"] / 1e3
    result = {
        **machine,
        "diffusers": peers.VERSION if peers else None,
        "foreign_share_of_busy_time": round(max(0.0, foreign), 3),
        "network_at_batch_64": network_at_64,
        "summary": table,
        "microseconds_a_step": tables,
        "peak_python_bytes_by_steps": memory(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for row in table:
        print(
            "{sampler:70s} {batch_1:8.1f} {batch_1_per_evaluation:8.1f} {batch_64:8.0f} {share_at_64:8.2%}".format(
                **row
            )
        )
    print(network_at_64, result["peak_python_bytes_by_steps"], "foreign", result["foreign_share_of_busy_time"])


if __name__ == "__main__":
    main()
