"""An objective that remembers (the bound with times by loss history) resumes to the bit like the others."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from reverie.data import open_data
from reverie.denoisers import Eps, NetworkDenoiser
from reverie.losses import FullBound
from reverie.networks import Mlp, initialise
from reverie.processes import Gaussian, LinearBeta
from reverie.training.checkpoint import Checkpoints
from reverie.training.loop import train
from reverie.training.options import Training
from reverie.training.run import Run


def run_by_the_bound() -> Run:
    network = Mlp(shape=(2,), classes=2, width=16, depth=1, outputs=2)
    initialise(network, 0)
    denoiser = NetworkDenoiser(Gaussian(LinearBeta(20, 1e-3, 0.4)), network, Eps(), learned_std=True, steps=20)
    options = Training(steps=16, batch=32, precision="fp32", warmup=2)
    return Run(denoiser, FullBound(steps=20, bins=0, buckets=5, memory=3), open_data("moons"), options, seed=1)


def resumed(folder: Path, forget: bool) -> list[float]:
    first, second = run_by_the_bound(), run_by_the_bound()
    losses = [p.loss for p in islice(train(first), 9)]
    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(first.step, first.tensors(), first.state())
    saved = checkpoints.latest()
    assert saved is not None
    assert torch.equal(saved.tensors["loss"]["seen"], first.loss.state_dict()["seen"])
    if forget:
        saved.tensors.pop("loss")
    second.restore(saved)
    return losses + [p.loss for p in train(second)]


def test_the_history_of_losses_is_part_of_a_resume_point(tmp_path: Path) -> None:
    whole = [p.loss for p in train(run_by_the_bound())]
    assert resumed(tmp_path / "kept", forget=False) == whole
    assert resumed(tmp_path / "lost", forget=True) != whole  # the mutant
