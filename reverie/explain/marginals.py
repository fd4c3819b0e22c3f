"""One family of dynamics with one set of marginals: ODE, SDE and everything between, and their Fokker–Planck equation.

Reference: Song et al. 2021, arXiv:2011.13456, section 4.3 and appendix D.1.
"""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, Mixture, score
from reverie.explain.page import Page, density, draw, line, modes
from reverie.processes import VpLinear
from reverie.processes.fokker_planck import Cells, evolve, forward_equation, reverse_equation
from reverie.samplers import EulerMaruyama, RungeKutta, Sampler, trajectory

LATE, EARLY = 0.9, 0.02


def _walk(denoiser: Denoiser, sampler: Sampler, x: Tensor, steps: int, seed: int) -> Tensor:
    """The points of a walk from LATE to EARLY, (steps + 1, B)."""
    times = [LATE + (EARLY - LATE) * i / steps for i in range(steps + 1)]
    return torch.stack([step.x[:, 0] for step in trajectory(denoiser, sampler, x, times, rng=Rng(seed))])


def _apart(denoiser: Mixture, x: Tensor, t: float) -> float:
    """The largest difference between the particles' and the exact distribution function."""
    law = denoiser.law(t)
    weights, means, stds = law.log_weights.exp(), law.means[..., 0], law.stds[..., 0]
    u = (weights * torch.special.ndtr((x[:, None] - means) / stds)).sum(1).sort().values
    return float((u - (torch.arange(len(u)) + 0.5) / len(u)).abs().max())


def paths(*, seed: int = 0) -> Page:
    """Trajectories of the ODE, of a mixture and of the reverse SDE over the same densities."""
    denoiser, steps, count = modes(VpLinear()), 300, 4000
    kinds = {
        "probability-flow ODE (η = 0)": RungeKutta("midpoint"),
        "half of the noise (η = ½)": EulerMaruyama(eta=0.5),
        "reverse SDE (η = 1)": EulerMaruyama(),
    }
    times = torch.linspace(LATE, EARLY, 120, dtype=torch.float64)
    heat = torch.stack([density(denoiser, float(t), line()) for t in times], 1)
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    numbers = {}
    for panel, (name, sampler) in zip(figure.subplots(1, 3, sharey=True), kinds.items(), strict=True):
        walked = _walk(denoiser, sampler, draw(denoiser, LATE, count, seed), steps, seed)
        panel.imshow(heat, extent=(LATE, EARLY, -3.5, 3.5), origin="lower", aspect="auto", cmap="Blues", vmax=0.9)
        clock = torch.linspace(LATE, EARLY, steps + 1)
        panel.plot(clock, walked[:, :12], color="#c2512f", linewidth=0.7)
        panel.set(title=name, xlabel="t", ylim=(-3.5, 3.5))
        numbers[f"{name}: distance of the end's law from p_t"] = _apart(denoiser, walked[-1], EARLY)
    numbers["distance that chance alone exceeds once in a thousand"] = 1.95 / count**0.5
    text = (
        "Smooth curves or rough ones: every amount of Langevin noise, with the drift that goes with it, carries\n"
        "the same densities (blue) back to the data. Which to use is a question of cost, not of truth."
    )
    return Page("Paths of one family", text, figure, numbers)


def fokker_planck(*, seed: int = 0) -> Page:
    """The density itself on a grid, forth and back, beside particles and the exact marginals."""
    schedule, late, early = VpLinear(), 0.5, 0.05
    denoiser, cells = modes(schedule), Cells(-4.5, 4.5, 120)
    exact = {t: cells.density(denoiser.law(t).log_prob) for t in (early, late)}
    forth = evolve(cells, exact[early], *forward_equation(schedule), start=early, end=late)
    back = {
        eta: evolve(
            cells, forth, *reverse_equation(schedule, lambda x, t: score(denoiser, x, t), eta), start=late, end=early
        )
        for eta in (0.5, 1.0)
    }
    times = [late + (early - late) * i / 200 for i in range(201)]
    *_, last = trajectory(denoiser, EulerMaruyama(), draw(denoiser, late, 20_000, seed), times, rng=Rng(seed))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = cells.centres()[:, 0]
    left.plot(x, exact[early], ":", color="#999999", label=f"start, t = {early}")
    left.plot(x, forth, color="#1b4f9c", label=f"forward equation, t = {late}")
    left.plot(x, exact[late], "--", color="#c2512f", label="exact marginal")
    right.hist(
        last.x[:, 0].numpy(), bins=90, range=(-4.5, 4.5), density=True, color="#dddddd", label="particles of the SDE"
    )
    right.plot(x, back[1.0], color="#1b4f9c", label="backward equation, η = 1")
    right.plot(x, exact[early], "--", color="#c2512f", label="exact marginal")
    for panel in (left, right):
        panel.set(xlabel="x")
        panel.legend(fontsize=7)

    def apart(p: Tensor, q: Tensor) -> float:
        return 0.5 * float(cells.mass((p - q).abs()))

    numbers = {
        "mass lost on the way forth and back": abs(1 - float(cells.mass(back[1.0]))),
        "forward equation to the exact marginal (total variation)": apart(forth, exact[late]),
        **{f"backward equation, η = {eta:g}, to the data": apart(p, exact[early]) for eta, p in back.items()},
        "particles of the reverse SDE to the data": apart(cells.histogram(last.x), exact[early]),
    }
    text = (
        "∂p/∂t = −∇·(b p) + ½ g² ∇²p moves the density as the equation moves particles. Forward it spreads the data;\n"
        "backward, with the score in the drift, any share of the noise brings the same density back."
    )
    return Page("The Fokker–Planck equation", text, figure, numbers)
