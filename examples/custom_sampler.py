"""A sampler of one's own: say how to go from t to s, and measure the order of what you wrote."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.denoisers import Denoiser, GaussianData, gaussian
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Sampler, trajectory


@dataclass(frozen=True)
class Midpoint(Sampler):
    """The explicit midpoint rule for dy/dr = (y − x̂_0)/r with y = x/α, r = σ/α, at the geometric mean of r."""

    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 2

    def step(self, denoiser: Denoiser, x: Tensor, t: float, s: float, *, state: None, rng: Rng) -> tuple[Tensor, None]:
        schedule = gaussian(denoiser).schedule
        alpha_t, alpha_s = schedule.alpha(t), schedule.alpha(s)
        r_t, r_s = schedule.sigma(t) / alpha_t, schedule.sigma(s) / alpha_s
        y = x / alpha_t
        r = math.sqrt(r_t * r_s)
        m = schedule.time_of(-2 * math.log(r))  # the time at which σ/α is r
        middle = y + (r - r_t) * (y - denoiser(x, t).mean) / r_t
        slope = (middle - denoiser(schedule.alpha(m) * middle, m).mean) / r
        return alpha_s * (y + (r_s - r_t) * slope), None


def main() -> float:
    process = Gaussian(VpLinear())
    oracle = GaussianData(process, torch.tensor([0.3]).double(), torch.tensor([0.5]).double())
    start, end, x1 = 0.9, 0.1, torch.tensor([[1.2]]).double()

    def law(t: float) -> tuple[Tensor, Tensor]:
        return oracle.law(t).mean, oracle.law(t).std

    (m1, s1), (m0, s0) = law(start), law(end)
    exact = m0 + s0 * (x1 - m1) / s1  # the ODE keeps the quantile
    errors = []
    for n in (40, 80):
        grid = [start + (end - start) * i / n for i in range(n + 1)]
        *_, last = trajectory(oracle, Midpoint(), x1, grid, rng=Rng(0))
        errors.append(float((last.x - exact).abs()))
    return math.log2(errors[0] / errors[1])


if __name__ == "__main__":
    print(f"observed order: {main():.2f}")
