"""Denoising diffusion GANs: who learns from which line of the game, exact draws against means, resuming to the bit."""

import math
from itertools import islice

import pytest
import torch
from torch import nn

from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import Eps, ImplicitDenoiser, NetworkDenoiser
from reverie.denoisers.implicit import latent_of
from reverie.denoisers.prediction import X0
from reverie.losses import Adversarial
from reverie.networks import Mlp, initialise
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ancestral, sample
from reverie.training.checkpoint import Checkpoints
from reverie.training.loop import train
from reverie.training.options import Training
from reverie.training.run import Run


def player(awake=False, size=2, classes=0):
    networks = [Mlp(shape=(n,), width=16, depth=1, classes=classes) for n in (size + 3, 2 * size)]
    for network in networks:
        network.exit.gain = float(awake)
    made = ImplicitDenoiser(Gaussian(VpLinear()), networks[0], X0(), networks[1], latent=3)
    initialise(made, 0)
    return made


def points(count=64, size=2):
    return Rng(3).normal(torch.empty(count, size))


def test_an_undecided_critic_makes_three_times_log_2():
    loss = Adversarial()(player(), points(), rng=Rng(0))
    torch.testing.assert_close(loss, torch.full((64,), 3 * math.log(2)))


def test_each_player_learns_from_its_own_line_alone():
    made, x0 = player(awake=True), points()
    loss = Adversarial(steps=4, penalty=0.1)
    loss(made, x0, rng=Rng(0)).mean().backward()
    got = {name: p.grad.clone() for name, p in made.named_parameters()}
    made.zero_grad()
    t = ((torch.arange(64) % 4 + 1) / 4).double()
    xt = made.process.marginal(x0, t).sample(Rng(1))
    drawn = made.process.bridge(made(xt, t).mean, xt, t - 0.25, t).sample(Rng(2))
    nn.functional.softplus(-made.score(drawn, xt, t, frozen=True)).mean().backward()
    assert all(p.grad is None for p in made.critic.parameters())
    assert any(p.grad.abs().max() > 0 for p in made.network.parameters())
    made.zero_grad(set_to_none=True)
    loss._telling(made, x0, drawn.detach(), xt, t).mean().backward()
    assert all(p.grad is None for p in made.network.parameters())
    assert any(got[f"critic.{name}"].abs().max() > 0 for name, _ in made.critic.named_parameters())


class Slope(nn.Module):
    """A critic whose mean answer is ⟨w, (x_s, x_t)⟩/4 for two pairs of numbers: its slope in x_s is known."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0, 1.0, 1.0]))

    def forward(self, x, noise, label=None, numbers=None):
        return self.weight * x


def test_the_penalty_is_half_the_squared_slope():
    made = ImplicitDenoiser(Gaussian(VpLinear()), Mlp(shape=(5,), width=8), X0(), Slope(), latent=3)
    losses = [Adversarial(penalty=g)(made, points(), rng=Rng(0)) for g in (0.0, 0.2)]
    # variance-preserving and data of variance one: the input is not scaled
    torch.testing.assert_close(losses[1] - losses[0], torch.full((64,), 0.1 * (3**2 + 4**2) / 16))


def test_the_last_step_is_judged_without_noise():
    made, x0 = player(awake=True), points()
    t = torch.full((64,), 0.25, dtype=torch.float64)
    xt = made.process.marginal(x0, t).sample(Rng(1))
    drawn = made(xt, t).mean
    torch.testing.assert_close(made.process.bridge(drawn, xt, t - 0.25, t).sample(Rng(2)), drawn)


def test_codes_are_normal_differ_between_examples_and_follow_the_example_alone():
    xt = points(4000)
    z = latent_of(xt, 4)
    assert abs(float(z.mean())) < 5 / math.sqrt(z.numel())
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt(2 / z.numel())
    assert torch.equal(latent_of(xt[7:9], 4), z[7:9])
    swapped = latent_of(xt.flip(1), 4)
    assert not bool((swapped == z).any())


class Coin(nn.Module):
    """The exact posterior of x_0 = ±1, drawn: P(x_0 = 1 | x_t) = sigmoid(2 α x_t/σ²), told by z; or its mean."""

    def __init__(self, *, draws=True):
        super().__init__()
        self.draws = draws
        self.empty = nn.Parameter(torch.zeros(1))

    def forward(self, x, noise, label=None, numbers=None):
        kept = torch.sigmoid(-8 * noise)
        odds = 2 * kept.sqrt() * x[:, 0] / (1 - kept)
        if not self.draws:
            return torch.tanh(odds / 2)[:, None].expand_as(x)
        heads = 0.5 * torch.special.erfc(-x[:, 1] / math.sqrt(2)) < torch.sigmoid(odds)
        return (2.0 * heads - 1)[:, None].expand_as(x)


def shares(draws):
    made = ImplicitDenoiser(Gaussian(VpLinear()), Coin(draws=draws), X0(), Slope(), latent=1)
    return sample(made, (4000, 1), sampler=Ancestral(), steps=4, rng=Rng(5))


def test_exact_draws_give_the_data_in_four_steps_and_means_do_not():
    x = shares(draws=True)
    assert bool(((x.abs() - 1).abs() < 1e-5).all())
    assert abs(float(x.mean())) < 5 / math.sqrt(4000)
    assert float(((shares(draws=False).abs() - 1).abs() > 0.02).float().mean()) > 0.05  # the mutant


def run_of_points(**options):
    chosen = Training(**{"steps": 12, "batch": 16, "precision": "fp32", "warmup": 2, **options})
    return Run(player(awake=True, classes=2), Adversarial(), open_data("moons"), chosen, seed=1)


def test_a_resumed_game_is_the_uninterrupted_one(tmp_path):
    whole, first, second = run_of_points(), run_of_points(), run_of_points()
    losses = [float(p.loss) for p in train(whole)]
    begun = [float(p.loss) for p in islice(train(first), 7)]
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(first.step, first.tensors(), first.state())
    second.restore(checkpoints.latest())
    assert begun + [float(p.loss) for p in train(second)] == losses


def test_a_batch_in_parts_is_the_whole_game():
    whole, parts = run_of_points(steps=3), run_of_points(steps=3, accumulate=4)
    for p, q in zip(train(whole), train(parts), strict=True):
        assert float(p.loss) == pytest.approx(float(q.loss), rel=1e-5)


def test_what_cannot_play_is_refused():
    with pytest.raises(ValueError, match="steps"):
        Adversarial(steps=0)
    plain = NetworkDenoiser(Gaussian(VpLinear()), Mlp(shape=(2,), width=8), Eps())
    with pytest.raises(UserError, match="implicit-denoiser"):
        Adversarial()(plain, points(), rng=Rng(0))
    with pytest.raises(ValueError, match="latent"):
        ImplicitDenoiser(Gaussian(VpLinear()), Mlp(shape=(2,), width=8), X0(), Slope(), latent=0)
