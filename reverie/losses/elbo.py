"""The variational bound as a training objective: discrete with T steps, or continuous in λ = log SNR.

    L_vlb = T E_i[L_i],   L_1 = −log p(x_0 | x_1),   L_i = KL(q(x_{i−1} | x_i, x_0) ‖ p(x_{i−1} | x_i))
in bits per dimension (without the prior term, which no weight changes).
References: Nichol & Dhariwal 2021, arXiv:2102.09672, equations 12 and 18; Kingma et al. 2021, arXiv:2107.00630.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.core.distributions import Distribution
from reverie.core.rng import Rng
from reverie.core.units import bits_per_dim
from reverie.denoisers import Denoiser, gaussian
from reverie.denoisers.decoder import Continuous, Decoder, Discretised
from reverie.denoisers.terms import density_term
from reverie.losses.history import History, Remembering
from reverie.losses.times import Discrete, LogSnrRange
from reverie.processes import Process


def bound_term(
    process: Process, posterior: Distribution, x0: Tensor, xt: Tensor, t: Tensor, *, steps: int, decoder: Decoder
) -> Tensor:
    """L_i of each example at its own t = i/T, nats (B,): the decoder's for i = 1, else the divergence."""
    index = (t * steps).round().clamp(1, steps)
    first = index <= 1
    s = torch.where(first, torch.full_like(index, 0.5), index - 1) / steps
    matching = process.bridge(x0, xt, s, t).kl(process.reverse(posterior, xt, s, t))
    reading = -decoder(posterior, process, t).log_prob(x0)
    return torch.where(first.to(matching.device), reading.to(matching), matching)


def decoder_for(bins: int) -> Decoder:
    """The decoder of data with this many levels on [−1, 1]; 0 for data without levels."""
    return Discretised(bins) if bins else Continuous()


class FullBound(Remembering):
    """L_vlb with i drawn where the terms are large: p_i ∝ √E[L_i²], from the last `memory` losses of each bucket of i.

    `bins`: levels of the data on [−1, 1], 0 for none. Raises ValueError for options out of range.
    Reference: Nichol & Dhariwal 2021, section 3.3, equation 18 (10 losses for each of T values).
    """

    def __init__(self, *, steps: int = 1000, bins: int = 256, buckets: int = 100, memory: int = 10) -> None:
        if steps < 1 or bins < 0 or bins == 1:
            raise ValueError("needs steps of at least 1, and bins of 0 (none) or at least 2")
        self.steps, self.bins, self.buckets, self.memory = steps, bins, min(buckets, steps), memory
        self.times = Discrete(steps=steps)
        self.history = History(buckets=self.buckets, memory=memory)

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        """T L_i in bits per dimension: its mean over uniform i is L_vlb."""
        xt = denoiser.process.marginal(x0, t).sample(rng.fork("eps"))
        nats = bound_term(
            denoiser.process, denoiser(xt, t), x0, xt, t, steps=self.steps, decoder=decoder_for(self.bins)
        )
        return self.steps * bits_per_dim(nats, x0[0].numel())


class ContinuousBound(Remembering):
    """The diffusion loss ∫ ½ e^λ ‖x_0 − x̂_0‖² dλ of VDM in bits per dimension, from λ = `first` to λ(1) or `last`.

    Its mean is the same for every schedule with the same ends. λ is drawn by the monotone schedule of least variance,
    learned from the last `memory` losses of each bucket of λ. Raises ValueError for options out of range.
    Reference: Kingma et al. 2021, equation 18, appendix I.2.
    """

    def __init__(self, *, first: float = 13.3, last: float = -13.3, buckets: int = 100, memory: int = 10) -> None:
        if not last < first:
            raise ValueError(f"the last log SNR must be below the first, not {last} and {first}")
        self.first, self.last, self.buckets, self.memory = first, last, buckets, memory
        self.times = LogSnrRange(first=first, last=last)
        self.history = History(buckets=buckets, memory=memory)

    def at(self, denoiser: Denoiser, x0: Tensor, t: Tensor, *, rng: Rng) -> Tensor:
        span = self.first - max(self.last, float(gaussian(denoiser).schedule.log_snr(1.0)))
        xt = denoiser.process.marginal(x0, t).sample(rng.fork("eps"))
        return bits_per_dim(span * density_term(denoiser, x0, xt, t), x0[0].numel())
