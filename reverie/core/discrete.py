"""Distributions over levels: one of finitely many states for every element.

State k of `bins` travels as its level in [−1, 1], the units of all other data,
    x = 2k/(bins − 1) − 1
so that bits are −1 and 1, bytes are the 256 levels of a picture, and nothing downstream needs another type of tensor.
A process may add states beyond the data's (a mask): their levels lie beyond 1. Codes of tokens are levels in the same
way; nothing here assumes that neighbouring levels resemble each other.
Reference: Austin et al. 2021, arXiv:2107.03006, section 2 (categorical states); Sohl-Dickstein et al. 2015, table 2.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.distributions import Distribution
from reverie.core.rng import Rng
from reverie.core.tensors import sum_features


def level(index: Tensor, bins: int, like: Tensor) -> Tensor:
    """The level 2k/(bins − 1) − 1 of state k, in the dtype of `like`."""
    return (2.0 * index.to(torch.float64) / (bins - 1) - 1.0).to(like.dtype)


def state(x: Tensor, bins: int) -> Tensor:
    """The state whose level is nearest, int64, of the shape of x.

    >>> state(level(torch.arange(27), 27, torch.empty(0)), 27).tolist() == list(range(27))
    True
    """
    return ((x.to(torch.float64) + 1.0) * (0.5 * (bins - 1))).round().long()


class Categorical(Distribution):
    """A probability for each of K states of every element: probs (B, *D, K), on the levels of `bins` (K ≥ bins ≥ 2).

    log p = Σ log p[state of x]        KL(p ‖ q) = Σ Σ_k p_k (log p_k − log q_k), 0 where p_k = 0
    `mean` and `std` are those of the level. Probabilities of 0 are allowed; `log_probs`, where they are at hand, keep
    what the exponential would lose.
    """

    def __init__(self, probs: Tensor, bins: int, log_probs: Tensor | None = None) -> None:
        if not 2 <= bins <= probs.shape[-1]:
            raise ValueError(f"needs 2 <= bins <= {probs.shape[-1]} states, not {bins}")
        self.probs, self.bins, self._log_probs = probs, bins, log_probs

    @classmethod
    def of_logits(cls, logits: Tensor, bins: int) -> Categorical:
        """softmax(logits) over the last dimension; −∞ excludes a state."""
        log_probs = logits.log_softmax(-1)
        return cls(log_probs.exp(), bins, log_probs)

    def levels(self) -> Tensor:
        """The level of every state, (K,)."""
        return level(torch.arange(self.probs.shape[-1], device=self.probs.device), self.bins, self.probs)

    @cached_property
    def mean(self) -> Tensor:  # type: ignore[override]
        return self.probs @ self.levels()

    @cached_property
    def std(self) -> Tensor:  # type: ignore[override]
        return (self.probs @ self.levels() ** 2 - self.mean**2).clamp(min=0).sqrt()

    def to(self, like: Tensor) -> Categorical:
        log_probs = None if self._log_probs is None else self._log_probs.to(like)
        return Categorical(self.probs.to(like), self.bins, log_probs)

    def sample(self, rng: Rng) -> Tensor:
        """By the inverse distribution function; a state of probability 0 is never drawn."""
        cdf = self.probs.double().cumsum(-1)
        u = rng.uniform(*cdf.shape[:-1]).to(cdf.device)[..., None] * cdf[..., -1:]
        return level((u > cdf).sum(-1), self.bins, self.probs)

    def log_prob(self, x: Tensor) -> Tensor:
        index = state(x, self.bins).to(self.probs.device)[..., None]
        if self._log_probs is not None:
            return sum_features(self._log_probs.gather(-1, index).squeeze(-1))
        return sum_features(self.probs.gather(-1, index).squeeze(-1).log())

    def kl(self, other: Distribution) -> Tensor:
        if not isinstance(other, Categorical):
            return super().kl(other)
        possible = self.probs > 0
        own, its = self._log_where(possible), other._log_where(possible)
        return sum_features((self.probs * (own - its)).sum(-1))

    def _log_where(self, possible: Tensor) -> Tensor:
        """log p where asked for and 0 elsewhere, with gradients that are finite there."""
        if self._log_probs is not None:
            return torch.where(possible, self._log_probs, torch.zeros_like(self._log_probs))
        return torch.where(possible, self.probs, torch.ones_like(self.probs)).log()


class Bernoulli(Categorical):
    """Independent bits −1 and 1 with P(1) = sigmoid(logits), logits (B, *D); exact in both tails."""

    def __init__(self, logits: Tensor) -> None:
        log_probs = torch.stack((F.logsigmoid(-logits), F.logsigmoid(logits)), -1)
        super().__init__(log_probs.exp(), 2, log_probs)
        self.logits = logits
