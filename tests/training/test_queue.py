"""What a GPU needs of the loop, held on a CPU: nothing is read back between updates, and a bad one is still caught."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reverie.core.errors import UserError
from reverie.data import open_data
from reverie.denoisers import NetworkDenoiser
from reverie.denoisers.prediction import F
from reverie.losses import EdmWeight, LogNormal, Regression
from reverie.networks import Unet, initialise
from reverie.processes import Gaussian, VpLinear
from reverie.training.loop import train
from reverie.training.options import Training
from reverie.training.run import Run

READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")  # operators after which the host waits for the device


class Reads(TorchDispatchMode):
    """Counts the operators that read a tensor back."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        on_cpu_by_nature = any(isinstance(a, torch.Tensor) and a.dtype in (torch.int64, torch.float64) for a in args)
        if name in READS and not on_cpu_by_nature:  # numbers of examples, labels and times never leave the host
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def run_on_digits(glance: int) -> Run:
    network = initialise(Unet(shape=(1, 8, 8), width=8, classes=10), 0)
    denoiser = NetworkDenoiser(Gaussian(VpLinear()), network, F(data_std=1.0))
    loss = Regression(weight=EdmWeight(), times=LogNormal())
    run = Run(denoiser, loss, open_data("digits"), Training(steps=12, batch=8, warmup=2), seed=2)
    run.glance = glance
    return run


def test_nothing_is_read_back_until_it_is_time_to_look() -> None:
    run = run_on_digits(glance=5)
    with Reads() as reads:
        for _ in range(4):
            run.update()
    assert not reads.seen


def test_a_loop_that_reads_every_loss_is_noticed() -> None:
    """The mutant of the law above."""
    run = run_on_digits(glance=5)
    with Reads() as reads:
        float(run.update()[0])
    assert reads.seen


def test_when_the_host_looks_changes_no_bit() -> None:
    often, seldom = run_on_digits(glance=1), run_on_digits(glance=10)
    losses = [[p.loss for p in train(run)] for run in (often, seldom)]
    assert losses[0] == losses[1]
    pairs = zip(often.denoiser.state_dict().values(), seldom.denoiser.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_bad_update_seen_late_has_changed_no_weight() -> None:
    run = run_on_digits(glance=10)
    for _ in range(3):
        run.update()
    before = {name: w.clone() for name, w in run.denoiser.state_dict().items()}
    clean, run.feed.dataset.rows = run.feed.dataset.rows, lambda index: torch.full((len(index), 1, 8, 8), torch.nan)
    run.update()
    run.feed.dataset.rows = clean
    for _ in range(2):
        run.update()
    assert all(torch.equal(before[name], w) for name, w in run.denoiser.state_dict().items())
    with pytest.raises(UserError, match=r"update 4: .*not finite"):
        run.tensors()
