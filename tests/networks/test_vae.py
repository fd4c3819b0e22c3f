"""The variational autoencoder: its bounds against quadrature and closed forms, and a diffusion model read as one."""

import math

import pytest
import torch

from reverie.core import catalog
from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import GaussianData
from reverie.likelihoods import Elbo, Importance
from reverie.networks import ConvVae, DenseVae
from reverie.processes import Gaussian, LinearBeta


def model(bins=0, latent=1):
    made = DenseVae(shape=(2,), bins=bins, latent=latent, width=8, depth=1).double()
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(2.0)
    return made


def evidence(made, x):
    """log p(x) = log ∫ p(x | z) N(z) dz by the trapezoidal rule over one latent."""
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)[:, None]
    step = float(z[1] - z[0])
    logs = [made.decode(z).log_prob(row.expand(len(z), -1)) + Normal(0 * z, 1.0).log_prob(z) for row in x]
    return torch.stack(logs).logsumexp(1) + math.log(step)


@pytest.mark.parametrize("bins", [0, 17])
def test_every_bound_is_above_the_evidence_and_more_samples_close_the_gap(bins):
    made, rows = model(bins), 4000
    x = torch.tensor([[0.5, -0.25]], dtype=torch.float64)
    truth = -float(evidence(made, x))
    many = x.expand(rows, -1)
    with torch.no_grad():
        one = sum(made.terms(many, rng=Rng(0)).values())
        bounds = [made.importance(many, samples=k, rng=Rng(1)) for k in (1, 4, 64)]
    error = [4 * float(b.std()) / math.sqrt(rows) for b in (one, *bounds)]
    means = [float(b.mean()) for b in (one, *bounds)]
    assert abs(means[0] - means[1]) < error[0] + error[1]  # one sample: the divergence in closed form, or drawn
    assert means[1] > means[2] - error[2]
    assert means[2] > means[3] - error[3]
    assert truth - error[3] < means[3] < truth + error[3] + 0.1 * max(means[0] - truth, 0.0) + 1e-3


def test_gradients_reach_the_encoder_through_the_sample():
    made = model()
    sum(
        made.terms(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double(), rng=Rng(0)).values()
    ).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in made.parameters())


def test_the_mismatch_is_the_divergence_of_normals_with_the_codes_moments():
    made = DenseVae(shape=(2,), latent=3, width=4, depth=0).double()
    with torch.no_grad():
        for p in made.encoder.parameters():
            p.zero_()
        made.encoder[-1].bias[:3] = torch.tensor([1.0, 0.0, -2.0])
        made.encoder[-1].bias[3:] = torch.tensor([0.5, 1.0, 2.0]).log()
    expected = sum(0.5 * (m * m + s * s - 1 - math.log(s * s)) for m, s in ((1, 0.5), (0, 1), (-2, 2)))
    # a sample covariance of n rows has errors of order 1/√n
    assert made.mismatch(torch.zeros(40_000, 2).double(), rng=Rng(0)) == pytest.approx(expected, abs=0.05)


def test_a_diffusion_model_of_few_steps_read_as_a_hierarchical_autoencoder_gives_the_same_number():
    """The bound's sum of divergences, and the mean log-ratio of whole trajectories: two code paths, one number."""
    oracle = GaussianData(
        Gaussian(LinearBeta(steps=4, start=0.1, end=0.9)),
        torch.tensor([0.3, -0.5]).double(),
        torch.tensor([0.5, 1.2]).double(),
    )
    x0 = torch.tensor([[0.4, 0.1]], dtype=torch.float64).expand(6000, -1)
    by_terms = Elbo(steps=4)(oracle, x0, rng=Rng(0)).total
    by_paths = Importance(steps=4, particles=1)(oracle, x0, rng=Rng(1)).terms["work"]
    error = 4 * math.hypot(float(by_terms.std()), float(by_paths.std())) / math.sqrt(len(x0))
    assert error < 0.1
    assert abs(float(by_terms.mean()) - float(by_paths.mean())) < error


@pytest.mark.parametrize("options", [{"latent": 0}, {"bins": 1}, {"width": 0}])
def test_sizes_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="at least"):
        DenseVae(shape=(2,), **options)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 5), (2, 13), (1, 5, 6, 3), (2, 1, 9)])
def test_codes_of_pictures_are_smaller_pictures(shape):
    made = ConvVae(shape=shape, bins=17, latent=3, width=4, levels=1, patch=2)
    x = Rng(0).normal(torch.empty(2, *shape)).clamp(-1, 1)
    code = made.encode(x)
    assert made.code == (3, *(n if n == 1 else math.ceil(n / 4) for n in shape[1:]))
    assert code.mean.shape == code.std.shape == (2, *made.code)
    assert made.decode(code.mean).mean.shape == x.shape
    assert torch.isfinite(sum(made.terms(x, rng=Rng(1)).values())).all()


def test_a_place_in_a_code_answers_for_its_place_in_the_picture():
    made = ConvVae(shape=(1, 48, 48), latent=2, width=4).double()
    x = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    moved = x.clone()
    moved[..., 0, 0] = 1.0
    changed = (made.encode(moved).mean - made.encode(x).mean).abs().amax((0, 1))
    assert changed[0, 0] > 0
    assert changed[-1, -1] == 0


ENTRIES = [(key, shape) for key in catalog.names("networks", "Vae") for shape in [(5,), (1, 6), (2, 7, 4)]]


@pytest.mark.parametrize(("key", "shape"), [e for e in ENTRIES if e[0] != "conv-vae" or len(e[1]) > 1], ids=str)
def test_every_autoencoder_of_the_catalogue_treats_rows_alone_and_keeps_shapes(key, shape):
    made = catalog.build("networks", {"name": key, "width": 6}, shape=shape).double()
    x = Rng(3).normal(torch.empty(3, *shape, dtype=torch.float64))
    law, back = made.encode(x), made.decode(made.encode(x).mean)
    assert law.mean.shape == (3, *made.code)
    assert back.mean.shape == x.shape
    torch.testing.assert_close(made.encode(x[1:2]).mean, law.mean[1:2])
    torch.testing.assert_close(made.read(law.mean[1:2]), back.mean[1:2])
    assert set(made.terms(x, rng=Rng(4))) == {"reconstruction", "divergence"}


def test_points_have_nothing_to_convolve():
    with pytest.raises(ValueError, match="use dense-vae"):
        ConvVae(shape=(5,))


def test_narrow_codes_cost_a_number_where_the_network_computes_in_bf16():
    made = ConvVae(shape=(1, 8, 8), bins=17, width=8, depth=1).requires_grad_(False)
    made.bottleneck.bias[4:] = -6.0  # σ² = 6e-6, which 1 − σ² loses in bf16
    x = Rng(0).uniform(8, 1, 8, 8).float() * 2 - 1
    plain = made.terms(x, rng=Rng(1))["divergence"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = made.terms(x, rng=Rng(1))["divergence"]
    torch.testing.assert_close(rounded, plain, rtol=0.01, atol=0.0)
