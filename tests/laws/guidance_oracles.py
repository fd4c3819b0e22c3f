"""What the guidance laws hold guidances against: a problem whose conditional law is known, for every entry."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.distributions import Normal
from reverie.denoisers import Condition, Denoiser, GaussianData, Mixture
from reverie.guidance import (
    Auto,
    Blend,
    Bounded,
    Classifier,
    ClassifierFree,
    ComponentClassifier,
    DirectPotential,
    Dps,
    Mask,
    Matrix,
    MomentMatching,
    NoisyPotential,
    Observation,
    PiGdm,
    Potential,
    Product,
    Projection,
    Replacement,
    linear_posterior,
)
from reverie.processes import Gaussian, Schedule, VpLinear

TILT = torch.tensor([1.5, -0.5, 0.8]).double()
MEAN = torch.tensor([0.4, -0.3, 0.1]).double()
STD = torch.tensor([0.6, 0.9, 0.4]).double()


@dataclass(frozen=True)
class Problem:
    """A denoiser guided with some scale, and the oracle that it has to equal at scale 1 (None where it is biased)."""

    guided: Callable[[float], Denoiser]
    inner: Denoiser
    truth: Denoiser | None


class MeanOnly(Denoiser):
    """What a network without a learned variance states: the oracle's mean, and no spread."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner, self.process = inner, inner.process

    def given(self, condition: Condition) -> "MeanOnly":
        return MeanOnly(self.inner.given(condition))

    def forward(self, xt: Tensor, t: float) -> Normal:
        return Normal(self.inner(xt, t).mean)


def gaussian_data(schedule: Schedule, mean: Tensor = MEAN, std: Tensor = STD) -> GaussianData:
    return GaussianData(Gaussian(schedule), mean, std)


def classes(schedule: Schedule) -> Mixture:
    """Three classes in three dimensions, of unequal weights and spreads, near enough to be confused."""
    means = torch.tensor([[-0.8, 0.2, 0.0], [0.6, 0.5, -0.4], [0.3, -0.9, 0.5]]).double()
    stds = torch.tensor([[0.3, 0.5, 0.4], [0.4, 0.4, 0.4], [0.6, 0.3, 0.5]]).double()
    return Mixture(Gaussian(schedule), torch.tensor([0.2, 0.5, 0.3]).double(), means, stds)


def tilt(x: Tensor) -> Tensor:
    """log r(x) = g·x, which moves N(m, s²) to N(m + s² g, s²)."""
    return x @ TILT.to(x)


class Rotated(Denoiser):
    """The oracle of N(m, C) for any covariance: independent elements along the eigenvectors of C."""

    def __init__(self, process: Gaussian, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        values, self.vectors = torch.linalg.eigh(covariance)
        self.process = process
        self.inner = GaussianData(process, mean @ self.vectors, values.clamp(min=0).sqrt())

    def forward(self, xt: Tensor, t: float) -> Normal:
        return Normal(self.inner(xt @ self.vectors, t).mean @ self.vectors.T)


ROWS = torch.tensor([[0.8, -0.3, 0.5], [0.1, 0.9, 0.4]]).double()
SEEN = torch.tensor([[0.5, -0.2]]).double()
SENSOR = Observation(Matrix(ROWS, (3,)), SEEN, noise=0.3)
ISOTROPIC = torch.full((3,), 0.7, dtype=torch.float64)


def posterior(data: GaussianData, observation: Observation) -> Rotated:
    """The law of x_0 given a linear observation, as an oracle."""
    one = torch.ones(1).double()
    law = linear_posterior(Mixture(data.process, one, data.mean[None], data.std[None]), observation)
    return Rotated(data.process, law.means[0, 0], law.factors[0] @ law.factors[0].T)


def measured(entry: type, std: Tensor, exact: bool = True, **options: int | float) -> Callable[[Schedule], Problem]:
    def problem(schedule: Schedule) -> Problem:
        data = gaussian_data(schedule, std=std)
        truth = posterior(data, SENSOR) if exact else None
        return Problem(lambda scale: entry(data, SENSOR, scale=scale, **options), data, truth)

    return problem


def replacement(schedule: Schedule) -> Problem:
    """Two of three independent elements, seen without noise."""
    data, y = gaussian_data(schedule), torch.tensor([[0.9, 0.0, -1.1]]).double()
    observation = Observation(Mask(torch.tensor([1, 0, 1]), (3,)), y)
    seen = observation.operator.mask
    truth = gaussian_data(schedule, torch.where(seen, y[0], MEAN), torch.where(seen, 0.0, STD))
    return Problem(lambda scale: Replacement(data, observation, scale=scale), data, truth)


def by_classifier(schedule: Schedule) -> Problem:
    data, label = classes(schedule), torch.tensor([2])
    return Problem(
        lambda scale: Classifier(data, ComponentClassifier(data), label=label, scale=scale),
        data,
        data.given(Condition(label)),
    )


def classifier_free(schedule: Schedule) -> Problem:
    data, condition = classes(schedule), Condition(torch.tensor([2]))
    return Problem(lambda scale: ClassifierFree(data, scale=scale).given(condition), data, data.given(condition))


def auto(schedule: Schedule) -> Problem:
    better, worse = gaussian_data(schedule), gaussian_data(schedule, MEAN, 2 * STD)
    return Problem(lambda scale: Auto(better, worse, scale=scale), worse, better)


def tilted(entry: type, exact: bool) -> Callable[[Schedule], Problem]:
    def problem(schedule: Schedule) -> Problem:
        data, truth = gaussian_data(schedule), gaussian_data(schedule, MEAN + STD**2 * TILT)
        return Problem(lambda scale: entry(data, tilt, scale=scale), data, truth if exact else None)

    return problem


def product(schedule: Schedule) -> Problem:
    """Two conditions on different elements of independent data."""
    data = gaussian_data(schedule)
    first, second = TILT * torch.tensor([1.0, 0, 0]), TILT * torch.tensor([0, 1.0, 1.0])
    parts = [gaussian_data(schedule, MEAN + STD**2 * g) for g in (first, second)]
    truth = gaussian_data(schedule, MEAN + STD**2 * TILT)
    return Problem(lambda scale: Product(data, parts, scale=scale), data, truth)


def blend(schedule: Schedule) -> Problem:
    """The components of a mixture, joined again."""
    data = classes(schedule)
    parts = [GaussianData(data.process, m, s) for m, s in zip(data.means, data.stds, strict=True)]

    def evidence(xt: Tensor, t: float) -> Tensor:
        return data(xt, t).log_weights - data.log_weights

    weights = tuple(data.log_weights.exp().tolist())
    return Problem(lambda scale: Blend(parts, evidence, weights=weights) if scale else data, data, data)


def bounded(schedule: Schedule) -> Problem:
    """Bounds so wide that nothing reaches them."""
    data = gaussian_data(schedule)
    return Problem(lambda scale: Bounded(data, low=-1e9, high=1e9), data, data)


PROBLEMS: dict[str, Callable[[Schedule], Problem]] = {
    "auto": auto,
    "blend": blend,
    "bounded": bounded,
    "classifier": by_classifier,
    "classifier-free": classifier_free,
    "direct-potential": tilted(DirectPotential, exact=True),
    "dps": measured(Dps, STD, exact=False),
    "moment-matching": measured(MomentMatching, STD),
    "noisy-potential": tilted(NoisyPotential, exact=False),
    "pi-gdm": measured(PiGdm, ISOTROPIC, data_std=0.7),
    "potential": tilted(Potential, exact=True),
    "product": product,
    "projection": measured(Projection, ISOTROPIC, data_std=0.7),
    "replacement": replacement,
}


def problem(name: str, schedule: Schedule | None = None) -> Problem:
    return PROBLEMS[name](schedule or VpLinear())
