"""Learning a score by denoising, and sampling with it by Langevin dynamics.

References: Vincent 2011; Song & Ermon 2019, arXiv:1907.05600.
"""

from __future__ import annotations

import functools
import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Mixture, score
from reverie.explain.page import Page, draw, line, modes
from reverie.processes import Gaussian, Ve
from reverie.samplers import AnnealedLangevin, LogSnr, langevin, sample

CENTRES = torch.linspace(-3, 3, 40, dtype=torch.float64)


def _features(x: Tensor) -> Tensor:
    """Gaussian bumps, (N, 40)."""
    return torch.exp(-0.5 * ((x - CENTRES) / 0.2) ** 2)


def score_matching(*, seed: int = 0) -> Page:
    """A score learned from noised data alone, beside the exact score of the noised and of the clean density."""
    schedule, t, count = Ve(sigma_min=0.01, sigma_max=10.0), 0.43, 50_000
    sigma, denoiser = float(schedule.sigma(t)), modes(schedule)
    x0 = draw(denoiser, 0.0, count, seed)
    eps = Rng(seed).fork("eps").normal(x0)
    xt = x0 + sigma * eps
    # s(x) = w · features(x), fitted to −ε/σ by least squares: denoising score matching in closed form
    features = _features(xt)
    gram = features.T @ features / count + 1e-6 * torch.eye(len(CENTRES)).double()
    weights = torch.linalg.solve(gram, features.T @ (-eps / sigma) / count)
    learned, true = features @ weights, score(denoiser, xt, t)
    x = line(-2.6, 2.4)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panel = figure.subplots()
    panel.plot(
        x, score(denoiser, x[:, None], 1e-4**0.5 / 3)[:, 0], ":", color="#999999", label="clean density (nearly)"
    )
    panel.plot(x, score(denoiser, x[:, None], t)[:, 0], color="#1b4f9c", label=f"noised density, σ = {sigma:.2f}")
    panel.plot(x, (_features(x[:, None]) @ weights)[:, 0], "--", color="#c2512f", label="learned by denoising")
    panel.set(ylim=(-25, 25), xlabel="x", ylabel="∇ log p(x)")
    panel.legend(fontsize=8)
    numbers = {"σ": sigma, "error of the learned score, as a share": float((learned - true).norm() / true.norm())}
    # the two objectives at three models: their difference is one constant
    for name, model in {"the learned score": learned, "the true score": true, "no score at all": 0 * true}.items():
        explicit = 0.5 * ((model - true) ** 2).mean()
        denoising = 0.5 * ((model + eps / sigma) ** 2).mean()
        numbers[f"denoising − explicit objective at {name}"] = float(denoising - explicit)
    text = (
        "Regressing −ε/σ on x_t finds the score of the noised density: nobody had to know the density. The objective\n"
        "differs from the explicit one, ½ E‖s − ∇log p‖², by a constant that is the same for every model."
    )
    return Page("Denoising score matching", text, figure, numbers)


def annealed_langevin(*, seed: int = 0) -> Page:
    """Two far modes: Langevin dynamics at one small noise level, and down a ladder of levels."""
    schedule, count = Ve(sigma_min=0.01, sigma_max=10.0), 1000
    means = torch.tensor([[-4.0, -4.0], [4.0, 4.0]])
    denoiser = Mixture(Gaussian(schedule), torch.tensor([0.2, 0.8]), means, torch.tensor([0.5, 0.5]))
    ladder = LogSnr(sigma_min=0.02, cap=10.0)
    annealed = sample(
        denoiser,
        (count, 2),
        sampler=AnnealedLangevin(level_steps=20, step_size=0.1, denoise=False),
        steps=40,
        grid=ladder,
        rng=Rng(seed),
    )
    far = 8 * Rng(seed).fork("far").normal(torch.empty(count, 2))
    small = ladder.times(denoiser.process, 40)[-2]
    *_, alone = langevin(functools.partial(score, denoiser, t=small), far, step=5e-3, steps=800, rng=Rng(seed))
    figure = Figure(figsize=(8, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    shares = {}
    for panel, x, title in zip(panels, (annealed, alone), ("ladder of 40 levels", "smallest level alone"), strict=True):
        share = float((x.sum(1) < 0).double().mean())
        shares[title] = share
        panel.scatter(x[:, 0], x[:, 1], s=3, color="#1b4f9c")
        panel.set(title=f"{title}: {share:.0%} in the mode of 20 %", xlim=(-7, 7), ylim=(-7, 7), aspect="equal")
    error = math.sqrt(0.2 * 0.8 / count)
    numbers = {f"{name}: share of the small mode": share for name, share in shares.items()}
    numbers["true share"], numbers["standard error"] = 0.2, error
    text = (
        "Langevin dynamics only mixes where there is probability to walk through. At the smallest noise each particle\n"
        "stays in the mode next to where it started. Down a ladder of noise levels the modes get their weights."
    )
    return Page("Annealed Langevin dynamics", text, figure, numbers)
