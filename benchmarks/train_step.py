"""The training step beside diffusers': forward, backward, AdamW and averaged weights, in images a second.

    python -m benchmarks.train_step [--quick] [--size 1.2M 4.7M] [--compile] [--rounds 5] [--threads 2]
Data are 1×32×32, batches of 128, master weights fp32. Each side runs in a process of its own, the sides take turns, and
every turn states the share of the machine that other programs used meanwhile: a turn above 5 % does not count.
The peer is measured as shipped (fp32, heads of 8 channels), with the help that ours gets and leaves its function as it
is (bf16, freed memory kept), and with all help (channels-last and one wide head, which is another function). It is left
out where diffusers is not installed. Ours is the larger network of the two. `--compile` compiles the helped sides.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import ALLOWED, Meter, is_here, measured, write
from reverie.networks import Unet, flops, keep_memory, parameters, precision

SHAPE, BATCH = (1, 32, 32), 128
OURS: dict[str, dict[str, Any]] = {
    "1.2M": {"width": 64, "multipliers": (1, 3), "patch": 2},
    "4.7M": {"width": 96, "multipliers": (1, 2, 3), "patch": 2},
}
PEER = {"1.2M": (32, 64, 64), "4.7M": (64, 128, 128)}


class Peer(nn.Module):
    """diffusers' UNet2DModel with its default blocks, under this benchmark's signature."""

    def __init__(self, channels: tuple[int, ...], *, one_head: bool, shape: tuple[int, ...] = SHAPE) -> None:
        from diffusers.models.unets.unet_2d import UNet2DModel

        super().__init__()
        self.inner = UNet2DModel(
            sample_size=shape[1], in_channels=shape[0], out_channels=shape[0], layers_per_block=1,
            block_out_channels=channels,
            down_block_types=("DownBlock2D", *["AttnDownBlock2D"] * (len(channels) - 1)),
            up_block_types=(*["AttnUpBlock2D"] * (len(channels) - 1), "UpBlock2D"),
            attention_head_dim=channels[-1] if one_head else 8,
        )  # fmt: skip

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.inner(x, 250 * (noise + 2), return_dict=False)[0]


def sides(size: str) -> dict[str, tuple[Callable[[], nn.Module], bool]]:
    """Name → (maker, whether it gets the help of `reverie.networks`)."""
    found: dict[str, tuple[Callable[[], nn.Module], bool]] = {
        "reverie": (lambda: Unet(shape=SHAPE, **OURS[size]), True)
    }
    if importlib.util.find_spec("diffusers"):
        found["diffusers as shipped"] = (lambda: Peer(PEER[size], one_head=False), False)
        found["diffusers, same function helped"] = (lambda: Peer(PEER[size], one_head=False), True)
        found["diffusers, one head and helped"] = (lambda: Peer(PEER[size], one_head=True), True)
    return found


def turn(size: str, side: str, *, seconds: float, threads: int, compiled: bool) -> dict[str, Any]:
    """Train for some seconds; the median step, the processor time of a step and the foreign load meanwhile."""
    torch.set_num_threads(threads)
    make, helped = sides(size)[side]
    if helped:
        keep_memory()
    network, started = make(), time.perf_counter()
    step = updates(network, helped=helped, compiled=compiled)
    for _ in range(2):
        next(step)
    ready, meter = time.perf_counter() - started, Meter()
    times: list[float] = []
    while sum(times) < seconds:
        began = time.perf_counter()
        next(step)
        times.append(time.perf_counter() - began)
    read = meter.read()
    return {
        "images_per_second": BATCH / statistics.median(times),
        "images_per_core_second": BATCH * len(times) / read["core_seconds"],
        "foreign_load": read["foreign_load"],
        "seconds_to_start": ready,
        "parameters": parameters(network),
        "flops": flops(network) if isinstance(network, Unet) else None,
    }


def updates(network: nn.Module, *, helped: bool, compiled: bool) -> Iterator[float]:
    """One optimizer step at each `next`, on fixed random data; yields the loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=helped)
    average = [p.detach().clone() for p in network.parameters()]
    x, noise, target = torch.randn(BATCH, *SHAPE), torch.rand(BATCH) * 4 - 2, torch.randn(BATCH, *SHAPE)
    if helped and not isinstance(network, Unet):
        for p in network.parameters():
            p.data = p.data.contiguous(memory_format=torch.channels_last) if p.dim() == 4 else p.data
    context = precision("auto", "cpu") if helped else nullcontext
    forward = torch.compile(network) if compiled and helped else network
    while True:
        with context():
            loss = (forward(x, noise).float() - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=not helped)
        torch._foreach_lerp_(average, [p.detach() for p in network.parameters()], 0.01)
        yield float(loss.detach())


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The median over the turns that count (all of them where none does), with the spread."""
    calm = [t for t in turns if t["foreign_load"] <= ALLOWED]
    rates = sorted(t["images_per_second"] for t in calm or turns)
    median = statistics.median(rates)
    rate = {"images_per_second": round(median, 1), "lowest": round(rates[0], 1), "highest": round(rates[-1], 1)}
    core = statistics.median(t["images_per_core_second"] for t in calm or turns)
    load = [round(t["foreign_load"], 3) for t in turns]
    shape = {key: turns[0][key] for key in ("parameters", "flops")}
    gigaflops = {} if shape["flops"] is None else {"gigaflops_per_second": round(3e-9 * shape["flops"] * median)}
    start = round(statistics.median(t["seconds_to_start"] for t in turns), 1)
    return {
        **rate, **gigaflops, **shape,
        "images_per_core_second": round(core, 1), "seconds_to_start": start,
        "turns_that_count": len(calm), "foreign_load": load,
    }  # fmt: skip


def compare(size: str, command: list[str], *, rounds: int, only: list[str]) -> dict[str, Any]:
    """All sides of one size in turn, `rounds` times; prints a line for each."""
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in sides(size) if side in only or not only}
    for _ in range(rounds):
        for side, done in turns.items():
            said = subprocess.run([*command, "--turn", size, side], capture_output=True, text=True, check=True)
            done.append(json.loads(said.stdout.splitlines()[-1]))
    rows = {side: summary(done) for side, done in turns.items()}
    for side, row in rows.items():
        print(
            f"{size} {side:32s} {row['images_per_second']:8.1f} images/s ({row['images_per_core_second']:.1f} per core "
            f"second), {row['parameters']:,} parameters, {row['turns_that_count']} of {rounds} turns count",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short turn each, to see that it works")
    parser.add_argument("--sides", nargs="+", default=[], help="which sides, by name (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--compile", action="store_true", help="compile the helped sides")
    parser.add_argument("--turn", nargs=2, metavar=("SIZE", "SIDE"), help=argparse.SUPPRESS)
    parser.add_argument("--size", nargs="+", choices=list(OURS), default=list(OURS), help="which networks")
    options = parser.parse_args()
    seconds, rounds = (0.5, 1) if options.quick else (options.seconds, options.rounds)
    if options.turn:
        size, side = options.turn
        print(json.dumps(turn(size, side, seconds=seconds, threads=options.threads, compiled=options.compile)))
        return
    command = [sys.executable, "-m", "benchmarks.train_step"]
    command += ["--seconds", str(seconds), "--threads", str(options.threads)]
    command += ["--compile"] * options.compile + ["--quick"] * options.quick
    kept = next((found for found in measured("train_step") if is_here(found["environment"])), {})
    results: dict[str, Any] = {"threads": options.threads, "sizes": kept.get("sizes", {})}
    for size in options.size:
        results["sizes"][size + " compiled" * options.compile] = compare(
            size, command, rounds=rounds, only=options.sides
        )
    if not options.quick:
        write("train_step", results, beside=True)


if __name__ == "__main__":
    main()
