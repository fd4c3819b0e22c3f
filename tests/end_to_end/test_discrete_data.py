"""Discrete and blurred data through the whole house: configured, trained, saved, loaded, bounded and drawn."""

import pytest
import torch

from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.likelihoods import Elbo
from reverie.training.model import load, sample
from reverie.training.recipe import merge, read_recipe, validated
from reverie.training.scoring import Effort, likelihood_for
from reverie.training.session import Session

SMALL = {
    "network": {"name": "mlp", "width": 32, "depth": 1},
    "training": {"steps": 120, "batch": 128, "learning_rate": 1e-2, "previews": 1, "checkpoints": 1},
    "sampling": {"steps": 40},
}


def trained(tmp_path, data, *layers):
    session = Session.begin(data, validated(merge(*layers)), path=tmp_path / "run")
    assert session.go() == 0
    return load(tmp_path / "run")


def test_a_heartbeat_is_learnt_from_the_recipe_alone(tmp_path):
    model = trained(tmp_path, "heartbeat", read_recipe("binomial"), {"process": {"prior_one": 0.2}}, SMALL)
    x0 = open_data("heartbeat").rows(torch.arange(64)).double()
    nats = Elbo(steps=200, terms=40)(model, x0, rng=Rng(0)).total
    # coin tosses with P(1) = 1/5 cost 14.4 bits, the truth is 2.3
    assert float(nats.mean()) / 0.6931 < 6.0
    scored = likelihood_for(model, "elbo", Effort(64, terms=40, particles=2))(model, x0, rng=Rng(1)).total
    assert float(scored.mean()) / 0.6931 < 6.0
    with pytest.raises(UserError, match="needs a Gaussian process"):
        likelihood_for(model, "ode", Effort(64, terms=40, particles=2))
    drawn = sample(model, 32)
    assert drawn.dtype == torch.bool
    assert abs(float(drawn.double().mean()) - 0.2) < 0.05


@pytest.mark.parametrize("recipe", ["absorbing", "uniform"])
def test_text_trains_saves_loads_and_draws_letters(tmp_path, recipe):
    few = {"training": {"steps": 3, "batch": 16}, "sampling": {"steps": 4}}
    model = trained(tmp_path, "text", read_recipe(recipe), merge(SMALL, few))
    x = sample(model, 3)
    assert x.shape == (3, 1, 64)
    assert int(x.max()) < 28
    x0 = open_data("text").rows(torch.arange(2))
    assert torch.isfinite(Elbo(steps=20)(model, x0, rng=Rng(0)).total).all()


def test_digits_train_under_blur(tmp_path):
    few = {"training": {"steps": 3, "batch": 16}, "sampling": {"steps": 4}}
    model = trained(tmp_path, "digits", read_recipe("blur"), merge(SMALL, few))
    assert sample(model, 2).shape == (2, 1, 8, 8)


def test_a_process_alone_brings_what_goes_with_it(tmp_path):
    config = Session.begin("heartbeat", validated({"process": "binomial"}), path=tmp_path / "run").config
    assert config["denoiser"]["name"] == "token-denoiser"
    assert config["sampler"]["name"] == "ancestral"


def test_data_without_the_process_s_levels_are_refused(tmp_path):
    with pytest.raises(UserError, match="works on 2 levels, but the data have 28 levels"):
        Session.begin("text", validated({"process": "binomial"}), path=tmp_path / "run")
    with pytest.raises(UserError, match="bins"):
        Session.begin("moons", validated({"process": "uniform"}), path=tmp_path / "run")
