"""The NCSN recipe names what it says, and annealed Langevin on a network trained with its loss finds all modes."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import NetworkDenoiser, Score
from reverie.denoisers.exact import Mixture
from reverie.losses import LogUniform, Regression, SigmaSquared
from reverie.networks import Mlp
from reverie.processes import Gaussian, Ve
from reverie.samplers import AnnealedLangevin, LogSnr, sample
from reverie.samplers.langevin import ncsnv2_levels
from reverie.training.assemble import build_loss, build_sampler
from reverie.training.defaults import choose, ladder
from reverie.training.recipe import DEFAULTS, merge, read_recipe

WEIGHTS = torch.tensor([0.2, 0.3, 0.5])
MEANS = torch.tensor([[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]])


def test_the_recipe_is_denoising_score_matching_and_annealed_langevin():
    config = merge(DEFAULTS, read_recipe("ncsn"))
    sampler, grid, _ = build_sampler(config)
    assert (sampler, grid) == (AnnealedLangevin(), LogSnr(sigma_min=0.01, cap=1e6))
    loss = build_loss(config)
    assert isinstance(loss, Regression)
    assert loss.weight == SigmaSquared()


def test_the_ladder_is_taken_from_the_data_unless_it_was_chosen():
    data = open_data("digits")
    train, _ = data.split(0.1, 0)
    recipe = read_recipe("ncsn")
    config = choose(data.spec, len(train), recipe)
    own = ladder(config, recipe, data, train)
    x0 = data.rows(train).flatten(1)
    sigma_max = own["schedule"]["sigma_max"]
    assert sigma_max == pytest.approx(float(torch.cdist(x0, x0).max()), rel=0.01)
    assert own["sampling"]["steps"] == ncsnv2_levels(sigma_max, 0.01, 64)
    chosen = merge(recipe, {"schedule": {"sigma_max": 20.0}})
    own = ladder(choose(data.spec, len(train), chosen), chosen, data, train)
    assert (own["schedule"]["sigma_max"], own["sampling"]["steps"]) == (20.0, ncsnv2_levels(20.0, 0.01, 64))
    chosen = merge(chosen, {"sampling": {"steps": 7}})
    config = choose(data.spec, len(train), chosen)
    assert ladder(config, chosen, data, train) == config
    config = choose(data.spec, len(train), {})
    assert ladder(config, {}, data, train) == config


@pytest.mark.slow
def test_annealed_langevin_on_a_trained_ncsn_finds_all_modes_with_their_weights():
    torch.manual_seed(0)
    process = Gaussian(Ve(sigma_min=0.02, sigma_max=6.0))
    network = Mlp(shape=(2,), width=64)
    denoiser = NetworkDenoiser(process, network, Score(), data_std=1.7)
    law = Mixture(process, WEIGHTS, MEANS, torch.tensor([0.3, 0.3, 0.3])).law()
    loss = Regression(weight=SigmaSquared(), times=LogUniform(low=0.02, high=6.0))
    optimizer, steps = torch.optim.Adam(network.parameters(), lr=3e-3), 2000
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        rng = Rng(step)
        wide = type(law)(law.log_weights.expand(256, -1), law.means.expand(256, -1, -1), law.stds)
        optimizer.zero_grad()
        loss(denoiser, wide.sample(rng.fork("data")), rng=rng).mean().backward()
        optimizer.step()
    count = 1000
    langevin = AnnealedLangevin(level_steps=20, step_size=0.1, denoise=False)
    x = sample(denoiser, (count, 2), sampler=langevin, steps=40, grid=LogSnr(0.02, 6.0), rng=Rng(0))
    share = torch.bincount(torch.cdist(x, MEANS).argmin(1), minlength=3) / count
    for found, true in zip(share.tolist(), WEIGHTS.tolist(), strict=True):
        assert abs(found - true) < 4 * math.sqrt(true * (1 - true) / count)
