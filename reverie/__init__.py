"""reverie: diffusion models on your own data, every number checked against exact truth.

A process destroys data, a denoiser believes, and everything else reads that belief. The rooms are
`reverie.processes`, `networks`, `denoisers`, `losses`, `samplers`, `likelihoods`, `guidance`, `data`, `metrics`
and `training`; each one's `__init__` is its table of contents.

>>> import reverie
>>> denoiser = reverie.load("runs/digits")                                     # doctest: +SKIP
>>> x = reverie.sample(denoiser, count=16, steps=20, label=3)                  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded on first use, so that the command line answers --help without torch.
_LAZY = {"load": "reverie.training.model", "sample": "reverie.training.model"}
_ROOMS = (
    "processes", "networks", "denoisers", "losses", "samplers", "likelihoods", "guidance",
    "data", "metrics", "pictures", "training", "interop",
)  # fmt: skip
__all__ = ["__version__", "load", "sample"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"reverie.{name}")
    raise AttributeError(f"module 'reverie' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
