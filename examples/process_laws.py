"""The exact laws of a process: Bayes' rule between its parts, and what the reverse variance should be."""

import torch

from reverie.core.distributions import Normal
from reverie.core.rng import Rng
from reverie.denoisers import GaussianData
from reverie.processes import Gaussian, LinearBeta


def main() -> dict[str, float]:
    schedule = LinearBeta()
    process = Gaussian(schedule)
    s, t = 0.399, 0.4
    x0 = Rng(0).normal(torch.zeros(5, 3).double())
    xt = process.marginal(x0, t).sample(Rng(1))
    xs = process.bridge(x0, xt, s, t).sample(Rng(2))

    # Bayes: q(xs | x0, xt) q(xt | x0) = q(xt | xs) q(xs | x0)
    left = process.bridge(x0, xt, s, t).log_prob(xs) + process.marginal(x0, t).log_prob(xt)
    right = process.transition(xs, s, t).log_prob(xt) + process.marginal(x0, s).log_prob(xs)

    # The reverse variance is the posterior's spread: none gives β̃, that of N(0, I) data gives β
    certain = process.reverse(Normal(x0), xt, s, t)
    standard = GaussianData(process, torch.zeros(3).double(), torch.ones(3).double())
    spread = process.reverse(standard(xt, t), xt, s, t)
    return {
        "Bayes: largest difference in nats": float((left - right).abs().max()),
        "beta": schedule.ratio(s, t)[1] ** 2,
        "reverse variance, N(0, I) data": float(spread.std.max()) ** 2,
        "beta-tilde": process.bridge_coefficients(s, t)[2] ** 2,
        "reverse variance, known x0": float(certain.std) ** 2,
    }


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:34} {value:.6e}")
