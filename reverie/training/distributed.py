"""One process or many is one code path: `torchrun` starts it, `torch.distributed` carries it.

What an example is, its noise and its time are functions of (seed, position), never of the rank; a rank only decides
which positions of an update it computes. Start several processes with
    torchrun --standalone --nproc-per-node 2 -m reverie train DATA
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """This process's place among the others, and its device."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The positions of an update that this rank computes. Raises ValueError if they cannot be shared equally."""
        if batch % self.size:
            raise ValueError(f"a batch of {batch} cannot be shared equally by {self.size} processes")
        part = batch // self.size
        return range(self.rank * part, (self.rank + 1) * part)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over processes."""
        if self.size == 1:
            return module
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes."""
        if self.size > 1:
            dist.all_reduce(value)
            value = value / self.size
        return value

    def agree(self, flag: bool) -> bool:
        """Whether any process raised the flag."""
        if self.size == 1:
            return flag
        votes = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(votes)
        return bool(votes.item() > 0)

    def same(self, value: int) -> int:
        """Rank 0's number, everywhere."""
        if self.size == 1:
            return value
        number = torch.tensor([value], device=self.device)
        dist.broadcast(number, 0)
        return int(number.item())

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


def best_device() -> torch.device:
    """The accelerator, if the machine has one."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device(accelerator.type) if accelerator is not None else torch.device("cpu")


def join(device: torch.device | None = None) -> World:
    """Join the other processes if `torchrun` started this one; otherwise be alone."""
    device = device or best_device()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(device=device)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group(dist.get_default_backend_for_device(device), timeout=timedelta(seconds=300))
    return World(dist.get_rank(), size, device)


def leave(world: World, code: int) -> int:
    """End a distributed process without the abort that gloo's threads can cause at interpreter exit."""
    if world.size > 1:
        world.barrier()
        gc.collect()
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
