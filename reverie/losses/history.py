"""Times drawn where the loss has been large: a law learned from the losses seen, which changes their variance alone.

Write v in (0, 1) for the share of the uniform law of times (a step i, or a log SNR λ) and L(v) for the loss there. Of
`buckets` equal parts of (0, 1), each keeps its last losses, and
    p_k ∝ √E[L²] in part k,      v = F⁻¹(u),      weight = 1/(buckets p_k)
so that E[weight · L(v)] is the mean over uniform v. With v a step it is the importance sampling of Nichol & Dhariwal;
with v a place in log SNR, F⁻¹ is a monotone noise schedule, of least variance among those on these parts: VDM's.
References: Nichol & Dhariwal 2021, arXiv:2102.09672, section 3.3; Kingma et al. 2021, arXiv:2107.00630, appendix I.2.
"""

from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.core.tensors import expand
from reverie.denoisers import Denoiser
from reverie.losses.base import TimedLoss

UNIFORM = 0.001  # of the law is kept uniform, as in the code published with Nichol & Dhariwal 2021


class History:
    """The last `memory` losses of each of `buckets` parts of (0, 1), and the law drawn from them.

    Until every part is full the law is uniform. Raises ValueError for options below 1.
    """

    def __init__(self, *, buckets: int, memory: int) -> None:
        if memory < 1 or buckets < 1:
            raise ValueError(f"needs memory and buckets of at least 1, not {memory} and {buckets}")
        self.losses = torch.zeros(buckets, memory, dtype=torch.float64)
        self.seen = torch.zeros(buckets, dtype=torch.int64)

    def law(self) -> Tensor:
        """p of each part, (buckets,) float64."""
        buckets, memory = self.losses.shape
        size = self.losses.square().mean(1).sqrt()
        if (self.seen < memory).any() or not size.sum() > 0:
            return torch.full((buckets,), 1 / buckets, dtype=torch.float64)
        return (1 - UNIFORM) * size / size.sum() + UNIFORM / buckets

    def place(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """v and its weight, (B,) each, for values u (B,) of the law's distribution function."""
        law = self.law()
        above = law.cumsum(0)
        part = torch.searchsorted(above, u).clamp(max=len(law) - 1)
        inside = 1 - ((above[part] - u) / law[part]).clamp(0, 1)
        v = ((part + inside) / len(law)).clamp(1e-12, 1 - 1e-12)
        return v, 1 / (len(law) * law[part])

    def remember(self, v: Tensor, loss: Tensor) -> None:
        """Losses (B,) at places v (B,), before they are weighted."""
        buckets, memory = self.losses.shape
        parts = (v * buckets).long().clamp(max=buckets - 1)
        for part, value in zip(parts.tolist(), loss.to("cpu", torch.float64).tolist(), strict=True):
            self.losses[part, int(self.seen[part]) % memory] = value
            self.seen[part] += 1


class Remembering(TimedLoss, ABC):
    """A loss with times drawn by its own history, which is its only state.

    Losses are remembered where gradients are taken, so that an evaluation leaves no trace. Each process of a
    distributed run keeps its own history.
    """

    history: History

    def __call__(self, denoiser: Denoiser, x0: Tensor, *, rng: Rng) -> Tensor:
        v, weight = self.history.place(self.times.shares(rng, len(x0)))
        loss = self.at(denoiser, x0, self.times.quantile(v, denoiser.process), rng=rng)
        if torch.is_grad_enabled():
            self.history.remember(v, loss.detach())
        return loss * expand(weight, loss)

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run needs to draw the same times."""
        return {"history": self.history.losses.clone(), "seen": self.history.seen.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        if state:
            self.history.losses, self.history.seen = state["history"].clone(), state["seen"].clone()
