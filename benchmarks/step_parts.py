"""Where the time of a training step goes, and what share of the processor's own convolutions it reaches.

    python -m benchmarks.step_parts [--quick] [--threads 2]
The peak is the best rate that 3×3 convolutions alone reach here in channels-last memory and the precision of training
(bf16 where the processor multiplies it), forward and backward together, over the sizes a network of this kind has. The
step is that of `train_step`'s 4.7 M network; its parts are operators' own time as torch's profiler tells it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import Meter, write
from benchmarks.train_step import BATCH, OURS, SHAPE, updates
from reverie.networks import Unet, flops, has_bf16, keep_memory

SIZE = "4.7M"
CONVOLUTIONS = [(channels, side) for channels in (64, 96, 128, 192, 256, 288) for side in (4, 8, 16)]
# part → what the names of its operators contain, the first that fits
PARTS = {
    "convolution": ("convolution",),
    "matrix products": ("addmm", "::mm", "bmm", "linear"),
    "normalisation": ("layer_norm",),
    "optimizer and average": ("adamw", "lerp", "foreach", "clip"),
    "casts and copies": ("copy_", "_to_copy", "contiguous", "::cat", "::to", "zero_", "fill_", "index"),
    "activations and sums": ("silu", "softmax", "::mul", "::add", "::sum", "sub", "pow", "upsample", "mean", "div"),
}


def clock() -> float:
    """Seconds: with one thread those of the processor, which other programs do not change."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def convolution_rate(channels: int, side: int, *, seconds: float) -> float:
    """GFLOP/s of one convolution, forward and backward."""
    kind = torch.bfloat16 if has_bf16(torch.device("cpu")) else torch.float32
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(kind).to(memory_format=torch.channels_last)
    x = torch.randn(BATCH, channels, side, side).to(kind).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    grad = torch.randn_like(x)
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        began = clock()
        layer(x).backward(grad)
        times.append(clock() - began)
    return 3 * 2 * 9 * channels**2 * side**2 * BATCH / statistics.median(times[1:]) / 1e9


def part_of(operator: str) -> str:
    return next((part for part, names in PARTS.items() if any(n in operator.lower() for n in names)), "the rest")


def parts(*, steps: int) -> dict[str, float]:
    """Milliseconds of a step by part."""
    step = updates(Unet(shape=SHAPE, **OURS[SIZE]), helped=True, compiled=False)
    for _ in range(3):
        next(step)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            next(step)
    found: dict[str, float] = {}
    for event in seen.key_averages():
        part = part_of(event.key)
        found[part] = found.get(part, 0.0) + event.self_cpu_time_total / 1000 / steps
    return {part: round(found[part], 2) for part in sorted(found, key=lambda p: -found[p])}


def rate(*, seconds: float) -> float:
    """Images a second of the step, without a profiler."""
    step, times = updates(Unet(shape=SHAPE, **OURS[SIZE]), helped=True, compiled=False), list[float]()
    for _ in range(3):
        next(step)
    while sum(times) < seconds:
        began = clock()
        next(step)
        times.append(clock() - began)
    return BATCH / statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, to see that it works")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_memory()
    meter, seconds = Meter(), 0.05 if chosen.quick else 0.5
    sizes = CONVOLUTIONS[:2] if chosen.quick else CONVOLUTIONS
    rates = {f"{c} channels, {s}×{s}": round(convolution_rate(c, s, seconds=seconds)) for c, s in sizes}
    images, network = rate(seconds=8 * seconds), Unet(shape=SHAPE, **OURS[SIZE])
    reached = 3e-9 * flops(network) * images
    result: dict[str, Any] = {
        "network": SIZE, "threads": chosen.threads, "precision": "bf16" if has_bf16(torch.device("cpu")) else "fp32",
        "convolution_peak": max(rates.values()), "convolutions": rates,
        "images_per_second": round(images, 1), "gigaflops_per_second": round(reached),
        "share_of_peak": round(reached / max(rates.values()), 3),
        "milliseconds": parts(steps=1 if chosen.quick else 10), "machine": meter.read(),
    }  # fmt: skip
    print({key: value for key, value in result.items() if key != "convolutions"})
    if not chosen.quick:
        write("step_parts", result, beside=True)


if __name__ == "__main__":
    main()
