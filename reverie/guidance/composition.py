"""Several denoisers as one: products of their laws, and mixtures.

    product   p(x) ∝ p(x) Π_k (p_k(x)/p(x))^{w_k}        x̂_0 = base + Σ_k w_k (x̂_0^k − base)
    mixture   p(x) = Σ_k w_k p_k(x)                      x̂_0 = Σ_k ω_k x̂_0^k,  ω_k ∝ w_k p_k(x_t)
The mixture is exact. The product is exact where the conditions are independent given x_t; elsewhere it is the product
of the diffused laws, which is not the diffused product.
Reference: Liu et al. 2022, arXiv:2206.01714, section 4; Du et al. 2023, arXiv:2302.11552, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from reverie.core.distributions import Distribution, Normal
from reverie.core.tensors import Scalar, expand
from reverie.denoisers import Condition
from reverie.denoisers.base import Denoiser
from reverie.guidance.base import Guidance, bind, equals


class Product(Guidance):
    """base + scale Σ_k w_k (x̂_0^k − base): all conditions at once; a negative weight is a condition to avoid.

    `inner` is the base that the parts have in common, usually the unconditional denoiser.
    Reference: Liu et al. 2022, arXiv:2206.01714, section 4.
    """

    def __init__(
        self,
        inner: Denoiser,
        parts: Sequence[Denoiser],
        *,
        weights: tuple[float, ...] = (),
        scale: float = 1.0,
        low: float = 0.0,
        high: float = math.inf,
    ) -> None:
        super().__init__(inner, scale=scale, low=low, high=high)
        self.parts, self.weights = parts_of(inner, parts), weights or (1.0,) * len(parts)
        if len(self.weights) != len(parts):
            raise ValueError(f"{len(parts)} denoisers need as many weights, not {len(self.weights)}")

    @classmethod
    def of_conditions(
        cls, inner: Denoiser, conditions: Sequence[Condition], *, weights: tuple[float, ...] = ()
    ) -> Product:
        """One denoiser under several conditions, against itself without any."""
        return cls(inner, [bind(inner, condition) for condition in conditions], weights=weights)

    def steered(self, xt: Tensor, t: Scalar, strength: Scalar) -> Distribution:
        belief = self.inner(xt, t)
        if equals(strength, 0.0):
            return belief
        pull = sum(w * (part(xt, t).mean - belief.mean) for w, part in zip(self.weights, self.parts, strict=True))
        return Normal(belief.mean + expand(strength, xt) * pull, belief.std)


class Blend(Denoiser):
    """Σ_k ω_k x̂_0^k with ω = softmax(log w_k + evidence_k(x_t, t)): the exact posterior of a mixture of laws.

    `evidence` maps (x_t, t) to (B, K): log p_k(x_t) up to a common term. For several models of labelled parts of one
    data set it is a classifier's logits. The variance is that of the mixture, Σ ω_k (s_k² + m_k²) − x̂_0².
    Reference: Bishop 2006, section 9.2; Liu et al. 2022, arXiv:2206.01714, section 4.
    """

    def __init__(
        self,
        parts: Sequence[Denoiser],
        evidence: Callable[[Tensor, Scalar], Tensor],
        *,
        weights: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        if not parts or len(weights) not in (0, len(parts)) or any(w <= 0 for w in weights):
            raise ValueError(f"{len(parts)} denoisers need as many weights above 0, not {weights}")
        self.parts, self.process = parts_of(parts[0], parts), parts[0].process
        self.evidence, self.weights = evidence, weights or (1.0,) * len(parts)

    def forward(self, xt: Tensor, t: Scalar) -> Normal:
        prior = torch.tensor(self.weights).to(xt).log()
        share = (self.evidence(xt, t) + prior).softmax(1)
        if share.shape != (len(xt), len(self.parts)):
            raise ValueError(f"the evidence has the shape {tuple(share.shape)}, not {(len(xt), len(self.parts))}")
        mean, square = torch.zeros_like(xt), torch.zeros_like(xt)
        for k, part in enumerate(self.parts):
            belief, weight = part(xt, t), expand(share[:, k], xt)
            mean = mean + weight * belief.mean
            square = square + weight * (belief.mean**2 + belief.std**2)
        return Normal(mean, (square - mean**2).clamp(min=0).sqrt())


def parts_of(first: Denoiser, parts: Sequence[Denoiser]) -> nn.ModuleList:
    """The denoisers as a list of modules. Raises ValueError unless all have one process."""
    for part in parts:
        if part.process != first.process:
            raise ValueError(f"denoisers to be combined need one process, not {first.process} and {part.process}")
    return nn.ModuleList(parts)
