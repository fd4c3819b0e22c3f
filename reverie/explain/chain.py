"""The noising chain and its reversal: the closed form, and when one reverse step is Gaussian.

References: Ho et al. 2020, arXiv:2006.11239, equations 2 and 4; Sohl-Dickstein et al. 2015, arXiv:1503.03585,
section 2.2; Feller 1949 (the reversal of a diffusion has its form for small steps).
"""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from reverie.core.rng import Rng
from reverie.explain.page import Page, density, draw, line, modes
from reverie.processes import LinearBeta


def forward(*, seed: int = 0) -> Page:
    """The forward process step by step, beside its closed form x_t = α_t x_0 + σ_t ε."""
    schedule, count = LinearBeta(), 20_000
    denoiser, x = modes(schedule), None
    start = x = draw(denoiser, 0.0, count, seed)
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    panels, shown = figure.subplots(1, 5, sharey=True), (0, 50, 150, 400, 1000)
    numbers = {}
    for i in range(schedule.steps + 1):
        if i:
            beta = float(schedule.betas()[i - 1])
            x = (1 - beta) ** 0.5 * x + beta**0.5 * Rng(seed).fork("chain", i).normal(x)
        if i in shown:
            t, panel = i / schedule.steps, panels[shown.index(i)]
            panel.hist(x[:, 0].numpy(), bins=80, range=(-3.5, 3.5), density=True, color="#b9c7dd", label="chain")
            panel.plot(line(), density(denoiser, t, line()), color="#1b4f9c", label="closed form")
            panel.set(title=f"step {i}: α = {schedule.alpha(t):.3f}, σ = {schedule.sigma(t):.3f}", xlabel="x")
            regression = float((x * start).sum() / (start * start).sum())
            numbers[f"step {i}: α by regression on x0"] = regression
            numbers[f"step {i}: α in closed form"] = float(schedule.alpha(t))
    panels[0].legend(fontsize=7)
    text = (
        "A thousand small steps x ← √(1−β) x + √β ε end where one draw x_t = α_t x_0 + σ_t ε does: the histogram\n"
        "of the chain lies on the exact density at every step, and regressing x_t on x_0 finds α_t."
    )
    return Page("The forward process and its closed form", text, figure, numbers)


def reverse_step(*, seed: int = 0) -> Page:
    """The true q(x_s | x_t) of a mixture for small and for large steps, beside the Gaussian of the same moments.

    `seed` is taken for the pages' common form; nothing is drawn here.
    """
    schedule = LinearBeta()
    denoiser, x, t = modes(schedule), line(-4, 4, 4001), 0.35
    figure = Figure(figsize=(11, 3), layout="constrained")
    numbers = {}
    lengths = (1, 30, 120, 300)
    for panel, steps in zip(figure.subplots(1, len(lengths)), lengths, strict=True):
        s = t - steps / schedule.steps
        alpha, sigma = schedule.ratio(s, t)
        xt = 0.35
        # Bayes: q(x_s | x_t) ∝ q(x_t | x_s) p_s(x_s)
        true = torch.exp(-0.5 * ((xt - alpha * x) / sigma) ** 2) * density(denoiser, s, x)
        width = float(x[1] - x[0])
        true = true / (true.sum() * width)
        mean = float((true * x).sum() * width)
        spread = float((true * (x - mean) ** 2).sum() * width) ** 0.5
        normal = torch.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * (2 * torch.pi) ** 0.5)
        apart = 0.5 * float((true - normal).abs().sum() * width)
        beta = sigma**2
        numbers[f"{steps} steps at once (β = {beta:.3g}): total variation to the Gaussian"] = apart
        panel.plot(x, true, color="#1b4f9c", label="q(x_s | x_t)")
        panel.plot(x, normal, "--", color="#c2512f", label="Gaussian fit")
        panel.set(
            title=f"β = {beta:.3g}: distance {apart:.3f}", xlabel="x_s", xlim=(mean - 5 * spread, mean + 5 * spread)
        )
        panel.legend(fontsize=7)
    text = (
        "The reverse of a small Gaussian step is Gaussian, whatever the data (Feller). The reverse of a large one is\n"
        "not: it shows the modes that could have led here. That is why DDPM takes many steps, each Gaussian."
    )
    return Page("Why the reverse step is Gaussian only for small β", text, figure, numbers)
