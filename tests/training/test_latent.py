"""Diffusion in an autoencoder's codes: bounds against the truth, and runs that need nothing but their own folder."""

import math
import shutil

import pytest
import torch

from reverie.core.distributions import Normal
from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import GaussianData, Stage
from reverie.guidance import Identity, Observation
from reverie.likelihoods import Elbo, Encoded
from reverie.processes import Gaussian, VpCosine
from reverie.training.autoencoding import train_vae
from reverie.training.codes import Codes, load_stage
from reverie.training.guides import guide
from reverie.training.model import load
from reverie.training.restoring import restore
from reverie.training.scoring import Effort, likelihood_for, score
from reverie.training.session import Session

SMALL = {"name": "dense-vae", "latent": 4, "width": 16, "depth": 1}
SHORT = {
    "network": {"name": "mlp", "width": 16, "depth": 1},
    "training": {"steps": 6, "batch": 8, "previews": 0, "checkpoints": 2},
    "sampling": {"steps": 4},
}


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("first") / "vae"
    train_vae(open_data("digits"), path, network=SMALL, steps=40)
    return path


@pytest.fixture(scope="module")
def run(autoencoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("second") / "run"
    Session.begin("digits", SHORT, path=path, latent=autoencoder).go()
    return path


class Line(torch.nn.Module):
    """x = w e + s ε with e ~ N(0, 1): an autoencoder whose encoder is the exact posterior of e."""

    code, w, s = (1,), 1.5, 0.4

    def encode(self, x):
        precision = 1 + self.w**2 / self.s**2
        return Normal(x * self.w / self.s**2 / precision, torch.full_like(x, precision**-0.5))

    def decode(self, e):
        return Normal(self.w * e, self.s)


def line(stage):
    """The exact denoiser of that stage's standardised codes, and draws of the data with their −log p."""
    mean, std = -stage.centre.double() / stage.spread.double(), 1 / stage.spread.double()
    oracle = GaussianData(Gaussian(VpCosine()), mean, std)
    truth = Normal(torch.zeros(1600, 1, dtype=torch.float64), math.hypot(Line.w, Line.s))
    x = truth.sample(Rng(1))
    return oracle, x, -truth.log_prob(x)


def test_with_an_exact_encoder_and_denoiser_the_bound_is_the_truth():
    stage = Stage(Line())
    stage.centre.fill_(0.3), stage.spread.fill_(0.7)
    oracle, x, cost = line(stage)
    bound = Encoded(Elbo(steps=20, draws=8), stage)(oracle, x, rng=Rng(2))
    error = 4 * float(bound.error.square().sum().sqrt()) / len(x)
    assert abs(float((bound.total - cost).mean())) < error < 0.1
    assert bound.is_bound
    assert bound.dimensions == 1
    forgetful = bound.total - stage.log_spread  # a bound that forgets how codes were scaled
    assert abs(float((forgetful - cost).mean())) > 2 * error


def test_a_worse_encoder_costs_more():
    class Blurred(Line):
        def encode(self, x):
            law = super().encode(x)
            return Normal(law.mean, 2 * law.std)

    stage = Stage(Blurred())
    oracle, x, cost = line(stage)
    bound = Encoded(Elbo(steps=20, draws=8), stage)(oracle, x, rng=Rng(2))
    gap = 0.5 * (4 - 1 - math.log(4))  # KL(N(m, 4 v) ‖ N(m, v))
    assert float((bound.total - cost).mean()) == pytest.approx(gap, abs=0.25)


def test_codes_are_standardised_and_depend_on_the_example_alone(autoencoder):
    data = open_data("digits")
    codes = Codes(data, load_stage(autoencoder, data.spec)[1])
    index = torch.arange(1200)
    rows = codes.rows(index)
    assert rows.shape == (1200, 4)
    torch.testing.assert_close(rows.mean(0), torch.zeros(4), atol=0.15, rtol=0)
    torch.testing.assert_close(rows.std(0), torch.ones(4), atol=0.15, rtol=0)
    torch.testing.assert_close(codes.rows(torch.tensor([700, 3])), rows[[700, 3]])
    whole = Codes(data, codes.stage, whole=True)
    torch.testing.assert_close(whole.rows(index[5:9]), rows[5:9])
    assert torch.equal(codes.labels(index), data.labels(index))


def test_samples_are_data_and_the_bound_holds_the_terms_of_both(run):
    model, data = load(run), open_data("digits")
    x = model.draw(3, seed=1)
    assert x.shape == (3, *data.spec.shape)
    assert float(x.abs().max()) <= 1
    torch.testing.assert_close(model.draw(2, seed=1, first=1), x[1:])
    effort = Effort(4, terms=4)
    part = score(model, data, torch.arange(4), likelihood_for(model, "elbo", effort), name="some")
    assert list(part.bound.terms) == ["decoder", "encoder", "prior", "reconstruction", "denoising"]
    assert part.bound.dimensions == data.spec.dimensions
    assert torch.isfinite(part.bound.total).all()


def test_a_run_needs_no_other_folder_and_resumes_to_the_bit(autoencoder, run, tmp_path):
    shutil.copytree(autoencoder, tmp_path / "vae")
    halves = Session.begin("digits", SHORT, path=tmp_path / "run", latent=tmp_path / "vae")
    for _ in range(3):
        halves.run.update()
    halves.run.planned = 6
    halves._save()
    shutil.rmtree(tmp_path / "vae")
    Session.resume(tmp_path / "run").go()
    whole, resumed = load(run).state_dict(), load(tmp_path / "run").state_dict()
    assert any(name.startswith("denoiser.stage.autoencoder") for name in whole)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_what_codes_cannot_do_is_refused_by_name(run, autoencoder):
    model = load(run)
    with pytest.raises(UserError, match="autoencoder's codes"):
        guide("smoothness", model)
    with pytest.raises(UserError, match="codes of an autoencoder"):
        restore(model, Observation(Identity((1, 8, 8)), torch.zeros(1, 1, 8, 8), 0.1))
    with pytest.raises(UserError, match="is for"):
        load_stage(autoencoder, open_data("moons").spec)
    with pytest.raises(UserError, match="is a model, but no autoencoder"):
        load_stage(run / "model", open_data("digits").spec)
    with pytest.raises(UserError, match="holds no diffusion model but: autoencoder"):
        load(autoencoder)
    with pytest.raises(UserError, match="--latent"):
        Session.begin("digits", {**SHORT, "stage": SMALL}, path=autoencoder.parent / "none")
    with pytest.raises(UserError, match="cannot be 5"):
        Session.begin("digits", {**SHORT, "stage": {**SMALL, "latent": 5}}, path="none", latent=autoencoder)
