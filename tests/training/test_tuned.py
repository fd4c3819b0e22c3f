"""Tuning a model: the choice beats what it is compared with, is kept in the folder, and is used from then on."""

import pytest
import torch

from reverie.core import files
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import Mixture
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import tune
from reverie.samplers.tuning import distance, end_point, reference
from reverie.training import defaults
from reverie.training.assemble import build_denoiser, build_sampler
from reverie.training.model import contents, load
from reverie.training.tuned import keep_choice, tune_model


@pytest.fixture
def folder(tmp_path):
    """An untrained model of points, in a folder."""
    dataset = open_data("moons")
    config = defaults.choose(dataset.spec, 1000, {})
    torch.manual_seed(0)
    denoiser = build_denoiser(config, dataset.spec)
    files.write_folder(tmp_path / "model", contents(denoiser, dataset.spec, config, {}))
    return tmp_path / "model"


def test_the_choice_is_kept_in_the_models_folder_and_used_from_then_on(folder):
    best, plain = tune_model(load(folder), 5, starts=16, effort=1)
    assert best.error <= plain.error
    assert keep_choice(folder, best) == folder
    model = load(folder)
    sampler, grid, steps = build_sampler(model.config)
    assert sampler == best.sampler
    assert grid.times(model.process, steps) == list(best.times)
    assert torch.isfinite(model.draw(4)).all()


def test_tuning_refuses_one_evaluation_in_one_sentence(folder):
    with pytest.raises(UserError, match="at least 2"):
        tune_model(load(folder), 1)


def test_fitted_times_beat_the_best_grid_on_starts_that_neither_has_seen():
    means = torch.tensor([[-0.7, -0.3], [0.6, -0.5], [0.1, 0.8]]).double()
    weights, stds = torch.tensor([0.2, 0.3, 0.5]).double(), torch.tensor([0.1, 0.15, 0.2]).double()
    denoiser = Mixture(Gaussian(VpLinear()), weights, means, stds)
    best, plain = tune(denoiser, Rng(0).normal(torch.empty(256, 2).double()), 6, keep=2, rounds=6)
    fresh = Rng(1).normal(torch.empty(256, 2).double())
    truth = reference(denoiser, fresh)
    fitted, unfitted = (distance(end_point(denoiser, c.sampler, fresh, c.times), truth) for c in (best, plain))
    assert fitted < unfitted
