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
from reverie.samplers.tuning import FEW, distance, end_point, reference, survey
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


def oracle() -> Mixture:
    means = torch.tensor([[-0.7, -0.3], [0.6, -0.5], [0.1, 0.8]]).double()
    weights, stds = torch.tensor([0.2, 0.3, 0.5]).double(), torch.tensor([0.1, 0.15, 0.2]).double()
    return Mixture(Gaussian(VpLinear()), weights, means, stds)


def test_a_fitted_solver_of_six_evaluations_beats_the_best_grid_with_eight_on_starts_that_neither_has_seen():
    denoiser = oracle()
    best, plain = tune(denoiser, Rng(0).normal(torch.empty(256, 2).double()), 6, rounds=6, solvers=FEW)
    fresh = Rng(1).normal(torch.empty(256, 2).double())
    truth = reference(denoiser, fresh).end
    fitted, unfitted = (distance(end_point(denoiser, c.sampler, fresh, c.times), truth) for c in (best, plain))
    assert fitted < 0.5 * unfitted
    assert fitted < min(choice.error for choice in survey(denoiser, fresh, truth, 8, solvers=FEW))


def test_the_reference_between_its_points_is_the_exact_trajectory():
    denoiser, x1 = oracle(), Rng(2).normal(torch.empty(16, 2).double())
    coarse, fine = (reference(denoiser, x1, steps=steps) for steps in (60, 240))
    for theta in torch.linspace(0.01, 1.5, 23).tolist():
        # Hermite's error is (h⁴/384) max z⁗, and the solver's own is of the same order
        assert distance(coarse.at(theta), fine.at(theta)) < 1e-3
        assert distance(fine.at(theta), coarse.at(theta + 0.1)) > 1e-3
