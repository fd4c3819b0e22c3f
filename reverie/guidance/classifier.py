"""Classifier guidance: the gradient of log p(y | x_t) of a classifier that has seen noise steers any denoiser.

    x̂_0′ = x̂_0 + (σ²/α) scale ∇ log p(y | x_t)
In the lecture's forms the reverse SDE and the ODE use the score s(x_t) + scale ∇ log p(y | x_t): the same thing.
Reference: Song et al. 2021, arXiv:2011.13456, section 5; Dhariwal & Nichol 2021, arXiv:2105.05233, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

from torch import Tensor, nn

from reverie.core.distributions import Distribution
from reverie.core.tensors import Scalar, batch, expand
from reverie.denoisers import Condition, Denoiser
from reverie.denoisers.exact import Mixture
from reverie.denoisers.prediction import input_scale, noise_level
from reverie.guidance.base import Traced, Twisted, bind
from reverie.processes import Gaussian

Logits = Callable[[Tensor, Scalar], Tensor]  # x_t (B, *D), t → (B, classes)


class NoisyClassifier(nn.Module):
    """p(y | x_t) by a network: logits = net(c_in x_t, c_noise), with the scalings of a network denoiser.

    The network is told of noise levels σ/α between the two of `told` alone, those that it was trained on.
    """

    def __init__(
        self,
        process: Gaussian,
        network: nn.Module,
        *,
        data_std: float = 1.0,
        told: tuple[float, float] = (0.0, math.inf),
    ) -> None:
        super().__init__()
        self.process, self.network, self.data_std = process, network, data_std
        self.ends = [math.log(level) / 4 if level > 0 else -math.inf for level in told]

    def forward(self, xt: Tensor, t: Scalar) -> Tensor:
        schedule = self.process.schedule
        scaled = expand(input_scale(schedule, t, self.data_std), xt) * xt
        return self.network(scaled, batch(noise_level(schedule, t), xt).to(scaled).clamp(*self.ends))


class ComponentClassifier(nn.Module):
    """The oracle: which component of a mixture x_t came from, log w_k N(x_t; α m_k, α² s_k² + σ²)."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        self.mixture = mixture

    def forward(self, xt: Tensor, t: Scalar) -> Tensor:
        unbound = self.mixture.given(Condition())
        return unbound(xt, t).log_weights


class Classifier(Twisted):
    """Steering towards a label by a classifier of noisy inputs: ψ(x_t) = p(label | x_t).

    `logits` maps (x_t, t) to (B, classes). The label is `label`, or that of the condition bound by `given`, which
    goes to the inner denoiser too if `conditional`. Without a label it is the inner denoiser.
    Reference: Dhariwal & Nichol 2021, arXiv:2105.05233, equations 9 and 10.
    """

    through = False

    def __init__(
        self,
        inner: Denoiser,
        logits: Logits,
        *,
        label: Tensor | None = None,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
        conditional: bool = False,
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high)
        self.logits, self.label, self.conditional = logits, label, conditional

    def given(self, condition: Condition) -> Self:
        kept = condition if self.conditional else Condition(None, condition.numbers)
        plain = kept.label is None and kept.numbers is None
        bound = self._with(inner=self.inner if plain else bind(self.inner, kept))
        bound.label = self.label if condition.label is None else condition.label.clone()
        return bound

    def steered(self, xt: Tensor, t: Scalar, strength: Scalar) -> Distribution:
        return super().steered(xt, t, strength if self.label is not None else 0.0)

    def slope(self, x: Traced, t: Scalar) -> tuple[Tensor, Tensor]:
        value = self._log_probs(x.x, t)
        return value, x.gradient(value)

    def log_reward(self, x0: Tensor) -> Tensor:
        """log p(label | x_0): the classifier at the least noise that it can tell from none."""
        return self._log_probs(x0, 1e-5)

    def _log_probs(self, xt: Tensor, t: Scalar) -> Tensor:
        assert self.label is not None
        label = self.label.clone().to(xt.device).expand(len(xt))
        log_probs = self.logits(xt, t).log_softmax(1)
        if int(label.max()) >= log_probs.shape[1]:
            raise ValueError(f"label {int(label.max())} is not one of 0 to {log_probs.shape[1] - 1}")
        return log_probs.gather(1, label[:, None])[:, 0]
