"""How much memory a run takes at its peak, told before it begins, and how a limit is kept with the same updates.

    peak = what the process holds already + gradients, moments and average + the most that one part of a batch needs
The last is found by following every tensor of a forward and backward pass on shapes alone: nothing is computed, and no
memory is taken. A limit is kept by computing a batch in more parts, and below that by forgetting what lies inside
the network's blocks and computing it again on the way back (Chen et al. 2016, arXiv:1604.06174).
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reverie import networks
from reverie.core.errors import UserError
from reverie.data import Spec
from reverie.denoisers import Denoiser
from reverie.training.assemble import build_denoiser
from reverie.training.distributed import World
from reverie.training.recipe import Config, training_options

UNITS = {"": 1, "K": 1, "M": 2, "G": 3, "T": 4}
SMALL = 8  # examples below which a part no longer fills the processor: from there on, forgetting is cheaper
COPIES = 10  # of an example: data, noise, noised, prediction, error and their gradients
SCRATCH = 60 * 10**6  # bytes that libraries keep for themselves once they have computed
# Measured: kernels reorder their inputs in copies of their own, and blocks of many sizes leave gaps.
UNSEEN = 7  # times the largest tensor


@dataclass(frozen=True)
class Plan:
    """Bytes at the peak of a run whose batches are computed in `accumulate` parts."""

    held: int
    weights: int
    part: int
    accumulate: int = 1
    recompute: bool = False

    @property
    def peak(self) -> int:
        return self.held + self.weights + self.part

    def __str__(self) -> str:
        parts = f"batch in {self.accumulate} parts" if self.accumulate > 1 else "batch in one part"
        again = ", blocks computed again on the way back" if self.recompute else ""
        held, weights, part = (f"{n / 1e9:.2f}" for n in (self.held, self.weights, self.part))
        return (
            f"{self.peak / 1e9:.2f} GB at the peak: program and data {held}, optimizer {weights}, {parts} {part}{again}"
        )


def amount(text: str) -> int:
    """Bytes in '4GB', '500 MB' or '2GiB'. Raises UserError for anything else.

    >>> amount("4GB"), amount("1.5 GiB")
    (4000000000, 1610612736)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B\s*", text, re.IGNORECASE)
    if not found:
        raise UserError(f"memory must be an amount such as 4GB, 500MB or 2GiB, not '{text}'")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** UNITS[unit.upper()])


def fit(config: Config, spec: Spec, *, limit: int, world: World) -> Plan:
    """The plan of a run within `limit` bytes a process, written into its configuration."""
    training = training_options(config)
    denoiser = build_denoiser(config, spec).to(world.device)
    plan = choose(denoiser, batch=training.batch, processes=world.size, precision=training.precision, limit=limit)
    config["training"] |= {"accumulate": plan.accumulate, "recompute": plan.recompute}
    return plan


def choose(denoiser: Denoiser, *, batch: int, processes: int, precision: str, limit: int) -> Plan:
    """The fastest way to compute a batch within `limit` bytes: in as few parts as possible, forgetting last.

    Raises UserError, with the least that would do, if there is none.
    """
    plans = list[Plan]()
    for accumulate, recompute in _ways(batch, processes):
        plan = predict(
            denoiser, rows=batch // accumulate // processes, processes=processes,
            precision=precision, accumulate=accumulate, recompute=recompute,
        )  # fmt: skip
        if plan.peak <= limit:
            return plan
        plans.append(plan)
    least = min(plan.peak for plan in plans)
    raise UserError(
        f"{limit / 1e9:.3g} GB do not suffice: this run needs at least {least / 1e9:.2f} GB; "
        "a narrower network (--network.width) or a larger patch (--network.patch) needs less"
    )


def _ways(batch: int, processes: int) -> Iterator[tuple[int, bool]]:
    """(parts, forgetting) from the fastest to the least hungry."""
    equal = [parts for parts in range(1, batch + 1) if batch % (parts * processes) == 0]
    if not equal:
        raise UserError(f"a batch of {batch} cannot be shared equally by {processes} processes")
    plain = [parts for parts in equal if batch // parts // processes >= SMALL] or equal[:1]
    yield from ((parts, False) for parts in plain)
    yield from ((parts, True) for parts in equal if parts >= plain[0])


def predict(
    denoiser: Denoiser, *, rows: int, processes: int, precision: str, accumulate: int = 1, recompute: bool = False
) -> Plan:
    """The peak of training on parts of `rows` examples in each process."""
    network: networks.Network = denoiser.network  # type: ignore[assignment]
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    copies = 4 + (processes > 1)  # gradient, two moments, average; what is sent to other processes
    most, largest = alive(network, rows=rows, precision=precision, recompute=recompute)
    return Plan(resident() + SCRATCH, copies * weights, most + UNSEEN * largest, accumulate, recompute)


def alive(network: networks.Network, *, rows: int, precision: str, recompute: bool) -> tuple[int, int]:
    """Bytes alive at most, beyond weights and gradients, in a forward and backward pass over `rows` examples.

    And those of the largest tensor of all, were it in single precision.
    """
    device, training = next(network.parameters()).device, network.training
    networks.recompute(network, recompute)
    network.eval()  # dropout draws numbers, and holds none
    whole = Pass(network)
    with FakeTensorMode() as shapes:
        state = (*whole.named_parameters(), *whole.named_buffers())
        fakes = {name: shapes.from_tensor(t).detach().requires_grad_(t.requires_grad) for name, t in state}
        x, noise = torch.empty(rows, *network.shape, device=device), torch.empty(rows, device=device)
        gradients = sum(t.numel() * t.element_size() for t in fakes.values() if t.requires_grad)
        with Alive() as watch:
            torch.func.functional_call(whole, fakes, (x, noise, networks.precision(precision, device)))
    network.train(training)
    networks.recompute(network, False)
    return max(0, watch.most - gradients) + COPIES * x.numel() * x.element_size(), watch.largest


class Pass(nn.Module):
    """Forward and back: both within one call, in which weights can be exchanged for their shapes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, noise: Tensor, context: Callable[[], AbstractContextManager[None]]) -> None:
        with context():
            out = self.network(x, noise)
        out.float().square().mean().backward()


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors made in its context that are still referred to, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = self.largest = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
                self.largest = max(self.largest, 4 * leaf.numel())
        self.most = max(self.most, self.now)
        return out

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
