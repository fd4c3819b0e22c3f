"""A denoising diffusion GAN through the whole house: from its recipe to samples, stopped and resumed to the bit."""

import pytest
import torch

from reverie.core.errors import UserError
from reverie.training.model import load, sample
from reverie.training.recipe import merge, read_recipe, validated
from reverie.training.session import Session

SMALL = {
    "network": {"name": "mlp", "width": 16, "depth": 1},
    "training": {"steps": 6, "batch": 32, "previews": 0, "checkpoints": 1},
}


def begun(path, data, *layers):
    return Session.begin(data, validated(merge(read_recipe("ddgan"), SMALL, *layers)), path=path)


def test_points_are_drawn_in_four_steps_and_a_resumed_run_is_the_whole_one(tmp_path):
    assert begun(tmp_path / "whole", "moons").go() == 0
    whole = load(tmp_path / "whole")
    assert len(whole.walk(1).times) == 5
    assert sample(whole, 6).shape == (6, 2)
    assert torch.equal(sample(whole, 6)[:2], sample(whole, 2))
    half = {"training": {"steps": 3}}
    assert begun(tmp_path / "parts", "moons", half, {"training": {"decay": 0.0}}).go() == 0
    assert begun(tmp_path / "one", "moons", {"training": {"decay": 0.0}}).go() == 0
    assert Session.resume(tmp_path / "parts", length={"steps": 6}).go() == 0
    weights = [load(tmp_path / name).state_dict() for name in ("one", "parts")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_digits_are_drawn_by_label_and_the_critic_has_a_choice_of_network(tmp_path):
    unet = {"name": "unet", "width": 8, "multipliers": [1], "attention": [], "depth": 1}
    few = {"network": unet, "critic": {"name": "mlp", "width": 8, "depth": 1}, "training": {"steps": 2}}
    assert begun(tmp_path / "digits", "digits", few).go() == 0
    model = load(tmp_path / "digits")
    assert sample(model, 3, label="each").shape[0] == 3
    assert type(model.denoiser.critic).__name__ == "Mlp"
    assert type(model.denoiser.network).__name__ == "Unet"


def test_the_loss_without_its_denoiser_is_refused_in_one_line(tmp_path):
    chosen = {"loss": {"name": "adversarial"}, **SMALL}
    with pytest.raises(UserError, match="implicit-denoiser"):
        Session.begin("moons", validated(chosen), path=tmp_path / "run").go()
