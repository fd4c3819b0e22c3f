"""The same function, faster: bfloat16 where the processor has it, and freed memory kept for the next step."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

LONG = 10.0  # minutes of a run that repay compiling its network
# glibc's mallopt parameters (malloc.h).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4


@functools.cache
def keep_memory() -> bool:
    """Ask the C library to keep freed memory in the process; whether it agreed.

    A training step frees and asks again for the same large blocks, and glibc maps each one afresh from the kernel,
    page by page. With this, they come from the heap. Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    # Older versions refuse a threshold above 32 MB; asking for no mapped block at all comes to the same.
    unmapped = mallopt(_MMAP_THRESHOLD, 2**30) == 1 or mallopt(_MMAP_MAX, 0) == 1
    kept = mallopt(_TRIM_THRESHOLD, 2**31 - 1) == 1
    padded = mallopt(_TOP_PAD, 2**28) == 1
    return unmapped and kept and padded


def compiles(mode: str, device: str | torch.device, minutes: float) -> bool:
    """Whether a run of this length lets torch compile its network: 'on', 'off' or 'auto'.

    Compiling costs about a minute. 'auto' pays it on a GPU for ten minutes or more; on a CPU it was never repaid.
    """
    return mode == "on" or (mode == "auto" and torch.device(device).type == "cuda" and minutes >= LONG)


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def precision(mode: str, device: str | torch.device = "cpu") -> Callable[[], AbstractContextManager[None]]:
    """A maker of contexts in which the network computes: 'fp32', 'bf16' or 'auto' (bf16 where hardware has it).

    Weights, optimizer and everything outside products and convolutions stay fp32.
    """
    if mode not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision must be auto, fp32 or bf16, not '{mode}'")
    device = torch.device(device)
    if mode == "fp32" or (mode == "auto" and not has_bf16(device)):
        return contextlib.nullcontext
    return functools.partial(torch.autocast, device.type, torch.bfloat16)
