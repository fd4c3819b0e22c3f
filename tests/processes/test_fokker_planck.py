"""The Fokker–Planck solver against exact marginals, and particles of every dynamics against the solver."""

import math

import pytest
import torch

from reverie.core.rng import Rng
from reverie.denoisers import Mixture, score
from reverie.processes import Gaussian, VpLinear
from reverie.processes.fokker_planck import Cells, evolve, forward_equation, reverse_equation
from reverie.samplers import EulerMaruyama, Heun, SdeDpm, trajectory

SCHEDULE = VpLinear()
LATE, EARLY = 0.6, 0.1


def oracle(dimensions: int = 1) -> Mixture:
    means = torch.tensor([[-1.2, 0.6], [0.9, -0.4]], dtype=torch.float64)[:, :dimensions]
    return Mixture(Gaussian(SCHEDULE), torch.tensor([0.35, 0.65]).double(), means, torch.tensor([0.4, 0.3]).double())


def true_score(x, t):
    return score(oracle(x.shape[1]), x, t)


def exact(cells: Cells, t: float):
    return cells.density(oracle(cells.dimensions).law(t).log_prob)


def distance(cells: Cells, p, q) -> float:
    """Total variation."""
    return 0.5 * float(cells.mass((p - q).abs()))


@pytest.mark.parametrize(("dimensions", "count", "bound"), [(1, 160, 0.002), (2, 36, 0.03)])
def test_the_forward_equation_carries_the_data_to_the_exact_marginal_and_keeps_the_mass(dimensions, count, bound):
    cells = Cells(-5.0, 5.0, count, dimensions)
    p = evolve(cells, exact(cells, 0.02), *forward_equation(SCHEDULE), start=0.02, end=0.3)
    assert float(cells.mass(p)) == pytest.approx(1, abs=1e-12)
    assert float(p.min()) >= 0
    assert distance(cells, p, exact(cells, 0.3)) < bound


@pytest.mark.parametrize("eta", [0.5, 1.0, lambda t: 1.5 * t])
def test_every_reverse_equation_has_the_same_marginals(eta):
    cells = Cells(-4.5, 4.5, 90)
    p = evolve(cells, exact(cells, LATE), *reverse_equation(SCHEDULE, true_score, eta), start=LATE, end=EARLY)
    assert float(cells.mass(p)) == pytest.approx(1, abs=1e-12)
    assert distance(cells, p, exact(cells, EARLY)) < 0.01


def test_a_wrong_amount_of_noise_is_seen():
    cells = Cells(-4.5, 4.5, 90)
    drift, diffusion2 = reverse_equation(SCHEDULE, true_score, 1.0)
    p = evolve(cells, exact(cells, LATE), drift, lambda t: 1.2 * diffusion2(t), start=LATE, end=EARLY)
    assert distance(cells, p, exact(cells, EARLY)) > 0.02


def forward_particles(x, rng, steps=200):
    """Euler–Maruyama of dx = f x dt + g dw from EARLY to LATE."""
    length = (LATE - EARLY) / steps
    for i in range(steps):
        t = EARLY + i * length
        g = math.sqrt(float(SCHEDULE.diffusion2(t)) * length)
        x = x * (1 + length * float(SCHEDULE.drift(t))) + g * rng.fork(i).normal(x)
    return x


PARTICLES = 20_000


def draw(t: float):
    law = oracle().law(t)
    big = type(law)(law.log_weights.expand(PARTICLES, -1), law.means.expand(PARTICLES, -1, -1), law.stds)
    return big.sample(Rng(11))


def backward_particles(sampler):
    times = [LATE + (EARLY - LATE) * i / 80 for i in range(81)]
    *_, last = trajectory(oracle(), sampler, draw(LATE), times, rng=Rng(3))
    return last.x


DYNAMICS = {
    "forward SDE": lambda: (forward_particles(draw(EARLY), Rng(5)), LATE),
    "reverse SDE": lambda: (backward_particles(EulerMaruyama()), EARLY),
    "probability-flow ODE": lambda: (backward_particles(Heun()), EARLY),
    "half of the Langevin noise": lambda: (backward_particles(EulerMaruyama(eta=0.5)), EARLY),
    "more Langevin noise": lambda: (backward_particles(SdeDpm(eta=1.5)), EARLY),
    "Langevin noise for a while": lambda: (backward_particles(SdeDpm(low=0.2, high=0.4)), EARLY),
}


@pytest.mark.parametrize("name", DYNAMICS)
def test_particles_of_every_dynamics_share_the_densitys_marginals(name):
    particles, t = DYNAMICS[name]()
    cells = Cells(-5.0, 5.0, 50)
    p = cells.histogram(particles)
    # total variation of a histogram of N particles: Σ √(2 q Δ/(π N))/2 on average
    q = exact(cells, t)
    noise = 0.5 * float((2 * q * cells.width / (math.pi * PARTICLES)).sqrt().sum())
    assert distance(cells, p, q) < 2 * noise + 0.01
