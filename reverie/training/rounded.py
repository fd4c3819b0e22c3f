"""A denoiser that computes in the precision its network was trained in: samples in half the time on bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from reverie import networks
from reverie.core.distributions import Distribution
from reverie.core.tensors import Scalar
from reverie.denoisers import Condition, Denoiser
from reverie.training.recipe import Config


class Rounded(Denoiser):
    """A denoiser whose products are computed in the precision of a context; its answers stay in that of x_t."""

    def __init__(self, inner: Denoiser, context: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self.inner, self.process, self.context = inner, inner.process, context

    def forward(self, xt: Tensor, t: Scalar) -> Distribution:
        with self.context():
            return self.inner(xt, t)

    def given(self, condition: Condition) -> Rounded:
        return Rounded(self.inner.given(condition), self.context)


def swift(denoiser: Denoiser, config: Config, device: torch.device) -> Denoiser:
    """The same belief in the precision of the configuration's training; the denoiser itself where that is float32."""
    context = networks.precision(config["training"].get("precision", "auto"), device)
    return denoiser if context is nullcontext else Rounded(denoiser, context)
