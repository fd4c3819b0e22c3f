"""How much each noise level counts: weights on the squared error of x̂_0, as functions of λ = log SNR.

For one posterior every prediction's squared error is the x_0 error times a factor, so the losses of the literature
are one-line weights here: ‖ε − ε̂‖² = e^λ ‖x_0 − x̂_0‖², ‖v − v̂‖² = (1 + e^λ)‖x_0 − x̂_0‖² (variance-preserving).
References: with each class; Kingma & Gao 2023, arXiv:2303.00848, section 2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from reverie.core.tensors import Scalar, clamp, exp


class Weight(ABC):
    """w(λ), the weight on ‖x_0 − x̂_0‖²."""

    @abstractmethod
    def __call__(self, log_snr: Scalar) -> Scalar:
        """w at λ = log_snr, (B,) or a number."""


@dataclass(frozen=True)
class Simple(Weight):
    """e^λ: the squared error of ε, L_simple. Reference: Ho et al. 2020, equation 14."""

    def __call__(self, log_snr: Scalar) -> Scalar:
        return exp(log_snr)


@dataclass(frozen=True)
class Flat(Weight):
    """1: the squared error of x_0 itself."""

    def __call__(self, log_snr: Scalar) -> Scalar:
        return 0.0 * log_snr + 1.0


@dataclass(frozen=True)
class Snr(Weight):
    """e^{pλ}: between the x_0 error (p = 0) and the ε error (p = 1). Reference: Salimans & Ho 2022, section 4."""

    power: float = 1.0

    def __call__(self, log_snr: Scalar) -> Scalar:
        return exp(self.power * log_snr)


@dataclass(frozen=True)
class TruncatedSnr(Weight):
    """max(e^λ, 1). Reference: Salimans & Ho 2022, arXiv:2202.00512, section 4."""

    def __call__(self, log_snr: Scalar) -> Scalar:
        return exp(clamp(log_snr, 0.0, float("inf")))


@dataclass(frozen=True)
class SnrPlusOne(Weight):
    """e^λ + 1: the squared error of v (variance-preserving). Reference: Salimans & Ho 2022, section 4."""

    def __call__(self, log_snr: Scalar) -> Scalar:
        return exp(log_snr) + 1.0


@dataclass(frozen=True)
class MinSnr(Weight):
    """min(e^λ, γ). Reference: Hang et al. 2023, arXiv:2303.09556, section 3.4 (γ = 5)."""

    gamma: float = 5.0

    def __call__(self, log_snr: Scalar) -> Scalar:
        return clamp(exp(log_snr), 0.0, self.gamma)


@dataclass(frozen=True)
class EdmWeight(Weight):
    """(r² + s²)/(r s)² = e^λ + 1/s², r = σ/α: the squared error of EDM's F. Reference: Karras et al. 2022, table 1."""

    data_std: float = 1.0

    def __call__(self, log_snr: Scalar) -> Scalar:
        return exp(log_snr) + 1 / self.data_std**2


@dataclass(frozen=True)
class SigmaSquared(Weight):
    """σ² on the squared error of the score: e^λ on that of x_0, like `Simple`. Reference: Song & Ermon 2019, eq. 5."""

    def __call__(self, log_snr: Scalar) -> Scalar:
        return exp(log_snr)
