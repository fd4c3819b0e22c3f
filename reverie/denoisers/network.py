"""A network as a denoiser: scale the input, tell it the noise level, read its output as a prediction.

    x̂_0 = c_skip(t) x_t + c_out(t) net(c_in(t) x_t, c_noise(t), condition)
with c_skip, c_out from the prediction's pair (a, b), c_in = 1/√(α²s² + σ²) and c_noise = log(σ/α)/4.
With eps, x0, v, F, ... one class serves every parametrisation in the literature.
Reference: Karras et al. 2022, arXiv:2206.00364, equation 7.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from reverie.core.distributions import Normal
from reverie.core.tensors import Scalar, batch, expand, onto_gpu
from reverie.denoisers.base import Condition, Denoiser
from reverie.denoisers.prediction import Prediction, input_scale, noise_level
from reverie.processes import Gaussian


class Learned(Denoiser, ABC):
    """A denoiser that asks a network: it says which one it needs, and binds conditions for it."""

    network: nn.Module
    condition: Condition

    @classmethod
    @abstractmethod
    def asks(cls, shape: tuple[int, ...], options: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
        """(shape, outputs) of the network for data of this shape, under these options of the denoiser."""

    @final
    def given(self, condition: Condition) -> Self:
        """The same network with labels or numbers bound. Raises ValueError for a label the network does not know."""
        classes = getattr(self.network, "classes", 0)
        if condition.label is not None and not classes:
            raise ValueError("this model was trained without labels")
        # on an accelerator the network's own table refuses it, and asking here would stop the queue
        if condition.label is not None and condition.label.is_cpu and int(condition.label.max()) > classes:
            raise ValueError(f"label {int(condition.label.max())} is not one of 0 to {classes - 1}")
        bound = copy.copy(self)
        bound.condition = condition
        return bound

    @final
    def bound(self, xt: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The bound labels and numbers, one row for each example."""
        return _rows(self.condition.label, xt), _rows(self.condition.numbers, xt)


def _rows(value: Tensor | None, xt: Tensor) -> Tensor | None:
    if value is None or value.shape[0] == xt.shape[0]:
        return value
    return value.expand(xt.shape[0], *value.shape[1:])


class NetworkDenoiser(Learned):
    """The posterior N(x̂_0, std²) that a network states; std 0 unless the network has a second output for it.

    `learned_std`: the network's second half of channels is v in (0, 1) after a sigmoid, and the posterior's std is
    the one that makes the reverse variance of a step of 1/T equal to β^v β̃^(1−v).
    Raises ValueError when the prediction cannot be inverted at the schedule's end.
    Reference for the learned variance: Nichol & Dhariwal 2021, arXiv:2102.09672, equation 15.
    """

    process: Gaussian

    def __init__(
        self,
        process: Gaussian,
        network: nn.Module,
        prediction: Prediction,
        *,
        data_std: float = 1.0,
        learned_std: bool = False,
        steps: int = 1000,
    ) -> None:
        super().__init__()
        prediction.check(process.schedule)
        self.process, self.network, self.prediction = process, network, prediction
        self.data_std, self.learned_std, self.steps = data_std, learned_std, steps
        self.condition = Condition()

    @classmethod
    def asks(cls, shape: tuple[int, ...], options: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
        """The data's own shape; two outputs with a learned std."""
        return shape, 2 if options.get("learned_std", False) else 1

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        schedule = self.process.schedule
        scaled = expand(input_scale(schedule, t, self.data_std), xt) * xt
        noise = batch(noise_level(schedule, t), xt).to(scaled, non_blocking=onto_gpu(scaled.device))
        out = self.network(scaled, noise, *self.bound(xt))
        out = out.to(xt.dtype)
        if not self.learned_std:
            return Normal(self.prediction.x0(schedule, out, xt, t))
        out, raw = out.chunk(2, 1)
        return Normal(self.prediction.x0(schedule, out, xt, t), self._learned(raw, xt, t))

    def _learned(self, raw: Tensor, xt: Tensor, t: Scalar) -> Tensor:
        """√((β^v β̃^(1−v) − β̃)/c_0²) with v = sigmoid(raw), for the step from t to t − 1/T."""
        s = t - 1 / self.steps
        s = torch.maximum(s, 0.1 * torch.as_tensor(t)) if isinstance(s, Tensor) else max(s, 0.1 * t)
        c0, _, std = self.process.bridge_coefficients(s, t)
        beta = expand(self.process.schedule.ratio(s, t)[1] ** 2, xt)
        beta_tilde = expand(std**2, xt)
        log_ratio = torch.as_tensor(beta / beta_tilde, dtype=xt.dtype, device=xt.device).log()
        return (beta_tilde * torch.expm1(raw.sigmoid() * log_ratio)).sqrt() / expand(c0, xt)
