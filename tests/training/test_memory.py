"""The memory plan: what it says is what a run takes, and keeping a limit changes how a batch is computed, not what."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from reverie import networks
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import NetworkDenoiser
from reverie.denoisers.prediction import F
from reverie.losses import EdmWeight, LogNormal, Regression
from reverie.networks import Dit, Mlp, Unet
from reverie.processes import Gaussian, VpLinear
from reverie.training.memory import Alive, alive, amount, choose, predict
from reverie.training.options import Training
from reverie.training.run import Run


def denoiser_of(network: torch.nn.Module) -> NetworkDenoiser:
    return NetworkDenoiser(Gaussian(VpLinear()), network, F(data_std=1.0))


def unet(size: int = 16, width: int = 32) -> Unet:
    return Unet(shape=(1, size, size), width=width, classes=3)


def gradients(network: torch.nn.Module, rows: int = 8) -> list[torch.Tensor]:
    networks.initialise(network, 0)
    x, noise = Rng(1).normal(torch.empty(rows, *network.shape)), torch.linspace(-1, 1, rows)
    (network(x, noise) - x).square().mean().backward()
    return [p.grad for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Unet(shape=(1, 9, 6), width=16, dropout=0.2),
        lambda: Dit(shape=(1, 8, 8), width=16, depth=2),
        lambda: Mlp(shape=(3,), width=16),
    ],
)
def test_computing_blocks_again_gives_the_same_gradient_to_the_bit(make) -> None:
    plain, again = make(), make()
    networks.recompute(again)
    assert all(torch.equal(a, b) for a, b in zip(gradients(plain), gradients(again), strict=True))


def test_computing_blocks_again_keeps_less() -> None:
    kept, again = (alive(unet(), rows=32, precision="fp32", recompute=on)[0] for on in (False, True))
    assert again < kept / 2


def test_what_is_alive_is_what_real_tensors_hold() -> None:
    """The shapes alone give the bytes that a real pass holds, up to what lies outside the network."""
    network, rows = unet(), 32
    x, noise = torch.zeros(rows, *network.shape), torch.zeros(rows)
    with Alive() as real:
        network(x, noise).float().square().mean().backward()
    own = sum(p.numel() * p.element_size() for p in network.parameters() if p.grad is not None)
    on_paper, largest = alive(network, rows=rows, precision="fp32", recompute=False)
    assert on_paper == pytest.approx(real.most - own, rel=0.1)
    assert largest == real.largest


def test_a_limit_is_kept_by_parts_first_and_by_forgetting_last() -> None:
    denoiser = denoiser_of(unet(32))
    ask = {"batch": 64, "processes": 1, "precision": "fp32"}
    whole = choose(denoiser, **ask, limit=10**12)
    assert (whole.accumulate, whole.recompute) == (1, False)
    less = choose(denoiser, **ask, limit=whole.peak - whole.part // 2)
    assert less.accumulate > 1
    assert not less.recompute
    eighth = predict(denoiser, rows=8, processes=1, precision="fp32")
    least = choose(denoiser, **ask, limit=eighth.peak - eighth.part // 4)
    assert least.recompute
    with pytest.raises(UserError, match="needs at least"):
        choose(denoiser, **ask, limit=10**6)


def test_a_run_within_a_limit_makes_the_same_updates() -> None:
    def run(**options: object) -> Run:
        chosen = Training(steps=3, batch=16, precision="fp32", **options)  # type: ignore[arg-type]
        loss = Regression(weight=EdmWeight(), times=LogNormal())
        network = Unet(shape=(1, 8, 8), width=8, classes=10)
        return Run(denoiser_of(networks.initialise(network, 0)), loss, open_data("digits"), chosen, seed=1)

    whole, parts = run(), run(accumulate=8, recompute=True)
    for _ in range(3):
        assert torch.allclose(whole.update(), parts.update(), rtol=1e-4)


@pytest.mark.parametrize(("text", "size"), [("4GB", 4 * 10**9), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8)])
def test_amounts_are_read(text: str, size: int) -> None:
    assert amount(text) == size


@pytest.mark.parametrize("text", ["4", "GB", "-1GB", "4GB5", "four"])
def test_other_words_for_memory_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="4GB"):
        amount(text)


SCRIPT = """
    import json, sys, torch
    from pathlib import Path
    torch.set_num_threads(1)
    from reverie import networks
    from reverie.core.rng import Rng
    from reverie.denoisers import Condition, NetworkDenoiser
    from reverie.denoisers.prediction import F
    from reverie.losses import EdmWeight, LogNormal, Regression
    from reverie.processes import Gaussian, VpLinear
    from reverie.training.ema import Average
    from reverie.training.memory import predict
    channels, size, width, rows, precision, again = json.loads(sys.argv[1])
    networks.keep_memory()
    network = networks.Unet(shape=(channels, size, size), width=width, patch=2)
    denoiser = NetworkDenoiser(Gaussian(VpLinear()), network, F(data_std=1.0))
    plan = predict(denoiser, rows=rows, processes=1, precision=precision, recompute=again)
    networks.recompute(network, again)
    average, loss = Average(denoiser, 0.1), Regression(weight=EdmWeight(), times=LogNormal())
    optimizer = torch.optim.AdamW(denoiser.parameters(), fused=True)
    for step in range(3):
        x0 = Rng(step).normal(torch.empty(rows, channels, size, size))
        with networks.precision(precision)():
            mean = loss(denoiser, x0, rng=Rng(step)).mean()
        mean.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        average.update(step + 1)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    print(json.dumps([plan.peak, peak, plan.held, plan.weights, plan.part]))
"""
SIZES = {
    "digits": [1, 28, 64, 128, "auto", False],
    "photographs": [3, 64, 64, 64, "auto", False],
    "wide and forgetful": [3, 64, 128, 64, "fp32", True],
}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "digits" else pytest.mark.slow) for n in SIZES])
def test_the_predicted_peak_is_within_15_percent_of_the_measured_one(name: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), json.dumps(SIZES[name])]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    predicted, measured, *_ = json.loads(said.stdout)
    assert predicted == pytest.approx(measured, rel=0.15)
