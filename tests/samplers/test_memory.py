"""A walk remembers what its method needs and nothing more, however many steps it takes."""

import weakref
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from reverie.core import catalog
from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import Denoiser
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ddim, Sampler, Uniform, trajectory


class Counting(Denoiser):
    """A denoiser that knows which of the values it was asked for, and of its answers, are still held by somebody."""

    process = Gaussian(VpLinear())

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[weakref.ref[torch.Tensor]] = []

    def forward(self, xt, t):
        mean = 0.5 * xt
        self.seen += [weakref.ref(xt), weakref.ref(mean)]
        return Normal(mean)

    def alive(self) -> int:
        return sum(reference() is not None for reference in self.seen)


def numbers(state) -> int:
    """How many numbers a state holds in its tensors."""
    if isinstance(state, torch.Tensor):
        return state.numel()
    return sum(numbers(part) for part in state) if isinstance(state, tuple) else 0


def held(sampler: Sampler, steps: int) -> int:
    """Values still alive after the last step but one, and numbers in the state there."""
    denoiser = Counting()
    times = Uniform().times(denoiser.process, steps)[:-1]
    for step in trajectory(denoiser, sampler, torch.ones(2, 3), times, rng=Rng(0)):
        last = step
    return denoiser.alive() + numbers(last.state)


@pytest.mark.parametrize("name", catalog.names("samplers", "Sampler"))
def test_a_walk_of_sixty_steps_holds_no_more_than_one_of_eight(name):
    sampler = catalog.build("samplers", {"name": name})
    assert held(sampler, 60) == held(sampler, 8)


@dataclass(frozen=True)
class Hoarder(Sampler):
    """A sampler that forgets nothing."""

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False

    def init(self, denoiser, x, *, rng=None):
        return ()

    def step(self, denoiser, x, t, s, *, state, rng):
        xs, _ = Ddim().step(denoiser, x, t, s, state=None, rng=rng)
        return xs, (*state, xs)


def test_a_sampler_that_forgets_nothing_would_be_seen():
    assert held(Hoarder(), 60) > held(Hoarder(), 8)
