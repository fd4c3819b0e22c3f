"""What lies beyond Gaussian noise: chains on finitely many states, the heat equation, and the autoencoder.

References: Austin et al. 2021, arXiv:2107.03006, section 3; Hoogeboom & Salimans 2023, arXiv:2209.05557, section 3;
Kingma & Welling 2014, arXiv:1312.6114; Hoffman & Johnson 2016, "ELBO surgery" (the aggregated posterior);
Bowman et al. 2016, arXiv:1511.06349, section 3.1 (the divergence weighed more and more).
"""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure

from reverie.core.discrete import level
from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.core.spectral import to_frequencies
from reverie.denoisers import FiniteData
from reverie.explain.page import Page, density, draw, line, modes
from reverie.likelihoods import Elbo
from reverie.networks import DenseVae, initialise
from reverie.processes import Absorbing, Binomial, Blur, Cosine, DiscretizedGaussian, Gaussian, Uniform

UPDATES = 600  # of the autoencoder


def chains(*, seed: int = 0) -> Page:
    """How four chains forget a state, and what it costs that they take the elements of an example one by one."""
    bins, t = 9, torch.linspace(0, 1, 60, dtype=torch.float64)
    shown = {
        "binomial": Binomial(), "uniform": Uniform(bins=bins), "absorbing": Absorbing(bins=bins),
        "discretised Gaussian": DiscretizedGaussian(bins=bins),
    }  # fmt: skip
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    for panel, (name, process) in zip(figure.subplots(1, 4), shown.items(), strict=True):
        begun = torch.eye(process.states, dtype=torch.float64)[min(2, process.bins - 1)]
        law = torch.stack([process.push(begun[None], 0.0, float(when))[0] for when in t], 1)
        panel.imshow(
            law.numpy(), aspect="auto", origin="lower", extent=(0, 1, -0.5, process.states - 0.5), cmap="Blues"
        )
        panel.set(title=name, xlabel="t", ylabel="state")
    pairs = level(torch.arange(3)[:, None].expand(-1, 2), 3, torch.empty(0, dtype=torch.float64))
    numbers = {"truth: bits of a pair of equal elements, log₂ 3": math.log2(3)}
    for name, process in (("uniform", Uniform(bins=3)), ("absorbing", Absorbing(bins=3))):
        oracle, many = FiniteData(process, pairs), pairs.repeat(150, 1)
        for steps in (1, 4, 16, 64):
            nats = float(Elbo(steps=steps)(oracle, many, rng=Rng(seed)).total.mean())
            numbers[f"{name}, bound with {steps} steps"] = nats / math.log(2)
    text = (
        "A chain moves every element of an example on its own; pictured is the law of one that begins in state 2\n"
        "(of bits: 1). On the way back the elements are drawn one by one from their own posteriors. For two\n"
        "elements that are always equal, and the exact posterior, a single step must guess each alone and pays for\n"
        "both, 2 log₂ 3; many small steps seldom change two at once, and the bound falls to the truth."
    )
    return Page("Chains on finitely many states", text, figure, numbers)


def blurring(*, seed: int = 0) -> Page:
    """What is left of an edge under blur and noise, and when each frequency is lost."""
    schedule, size = Cosine(), 64
    process, plain = Blur(schedule, blur=8.0), Gaussian(schedule)
    edge = torch.where(torch.arange(size) < size // 2, -1.0, 1.0).double()[None, None]
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    means, signal = figure.subplots(1, 2)
    for t in (0.0, 0.25, 0.5, 0.75):
        means.plot(process.marginal(edge, t).mean[0, 0].numpy(), label=f"t = {t}")
    means.set(title="mean of q(x_t | x_0) of an edge", xlabel="place")
    means.legend(fontsize=7)
    times, numbers = torch.linspace(0, 1, 101, dtype=torch.float64), {}
    for k in (0, 2, 8, 32):
        kept = torch.stack([process.signal(float(t), edge).flatten()[k] for t in times])
        ratio = kept / torch.as_tensor(schedule.sigma(times)).clamp(min=1e-9)
        signal.semilogy(times[1:], ratio[1:], label=f"frequency {k}")
        numbers[f"t at which signal = noise, frequency {k}"] = float(times[int((ratio < 1).double().argmax())])
    signal.axhline(1.0, color="gray", lw=0.7)
    signal.set(title="signal over noise, α_k(t)/σ(t)", xlabel="t", ylim=(1e-4, 1e3))
    signal.legend(fontsize=7)
    noisy = edge + 0.1 * Rng(seed).normal(edge)
    none = Blur(schedule, blur=0.0).bridge(edge, noisy, 0.3, 0.6).mean
    numbers["largest difference of the bridge from the Gaussian one, blur 0"] = float(
        (none - plain.bridge(edge, noisy, 0.3, 0.6).mean).abs().max()
    )
    back = process.marginal(edge, 0.5).mean
    share = to_frequencies(back).square().flatten() / to_frequencies(edge).square().flatten().clamp(min=1e-12)
    numbers["power left at t = 0.5, frequency 1"] = float(share[1])
    numbers["power left at t = 0.5, frequency 31"] = float(share[31])
    text = (
        "The heat equation multiplies each cosine by its own factor, so every frequency is a Gaussian process with\n"
        "its own signal and the same noise. Detail drowns early, the outline late: the way back draws outlines\n"
        "first. A blur alone could not be undone; it can here because noise has covered what it took."
    )
    return Page("Blurring: a Gaussian process in every frequency", text, figure, numbers)


def autoencoder(*, seed: int = 0) -> Page:
    """An autoencoder of one number: its bound, and the gap between the law of its codes and the prior."""
    data = modes(Cosine())
    vae = DenseVae(shape=(1,), latent=1, width=32, depth=2)
    initialise(vae, seed)
    optimizer = torch.optim.Adam(vae.parameters(), lr=4e-3)
    for update in range(UPDATES):
        x = draw(data, 0.0, 256, seed + 1 + update).float()
        said = vae.terms(x, rng=Rng(seed).fork("fit", update))
        # a divergence at full weight from the start leaves codes that say nothing
        share = min(1.0, 2 * update / UPDATES)
        loss = (said["reconstruction"] + share * said["divergence"]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    vae = vae.double().requires_grad_(False)
    x, rng, e = draw(data, 0.0, 4000, seed), Rng(seed).fork("look"), line(-4, 4)
    terms = {name: float(value.mean()) for name, value in vae.terms(x, rng=rng.fork("terms")).items()}
    law = vae.encode(x)
    spread = torch.as_tensor(law.std)[:, 0]
    z = (e[:, None] - law.mean[:, 0]) / spread
    aggregated = (torch.exp(-0.5 * z**2) / (spread * math.sqrt(2 * math.pi))).mean(1)
    prior = Normal(0 * e[:, None], 1.0).log_prob(e[:, None]).exp()
    gap = torch.trapezoid(aggregated * (aggregated.clamp(min=1e-300) / prior).log(), e)
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    codes, samples = figure.subplots(1, 2)
    codes.plot(e, aggregated, label="codes of data, E over x of q(e | x)")
    codes.plot(e, prior, label="prior N(0, 1)")
    codes.set(title="what the decoder was trained on, and what it is asked", xlabel="e")
    codes.legend(fontsize=7)
    for name, drawn in (("prior", vae.prior(20_000).sample(rng)), ("codes of data", law.sample(rng.fork("codes")))):
        found = vae.decode(drawn).sample(rng.fork(name))[:, 0]
        samples.hist(found, bins=100, range=(-3, 3), density=True, histtype="step", label=f"decoded: {name}")
    samples.plot(line(-3, 3), density(data, 0.0, line(-3, 3)), color="black", lw=0.8, label="data")
    samples.set(title="samples", xlabel="x")
    samples.legend(fontsize=7)
    numbers = {
        "truth: −log p(x), nats": -float(density(data, 0.0, x[:, 0]).log().mean()),
        "bound": sum(terms.values()),
        "its reconstruction term": terms["reconstruction"],
        "its divergence term": terms["divergence"],
        "bound with 64 codes": float(vae.importance(x, samples=64, rng=rng.fork("importance")).mean()),
        "KL(codes of data ‖ prior), nats": float(gap),
    }
    text = (
        "The bound's divergence splits in two: how much a code says of its datum, and how far the codes of all data\n"
        "are from the prior. The second is pure loss: samples are decoded from places where few codes were. A\n"
        "diffusion model of the codes removes it, and a diffusion model of the data has it tiny by construction."
    )
    return Page("The autoencoder and its prior", text, figure, numbers)
