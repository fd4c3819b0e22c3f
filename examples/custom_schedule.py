"""A schedule of one's own: write α and σ, and everything else follows."""

from dataclasses import dataclass

import torch

from reverie.core.rng import Rng
from reverie.core.tensors import Scalar, cos, sin
from reverie.denoisers import GaussianData
from reverie.processes import Gaussian, Schedule
from reverie.samplers import Ancestral, sample


@dataclass(frozen=True)
class Warped(Schedule):
    """α = cos θ, σ = sin θ with θ = θ_max t^p: more of the time near the data for p > 1."""

    power: float = 1.5
    last: float = 1.55

    def alpha(self, t: Scalar) -> Scalar:
        return cos(self.last * t**self.power)

    def sigma(self, t: Scalar) -> Scalar:
        return sin(self.last * t**self.power)


def main() -> dict[str, float]:
    schedule = Warped()
    # derived, never written by hand: the SDE's drift and diffusion, and the time of a given log SNR
    f, g2, t = schedule.drift(0.5), schedule.diffusion2(0.5), schedule.time_of(0.0)
    oracle = GaussianData(Gaussian(schedule), torch.tensor([0.3]).double(), torch.tensor([0.5]).double())
    sampler = Ancestral(draw_last=True)
    x = sample(oracle, (20_000, 1), sampler=sampler, steps=2, rng=Rng(0)).double()
    return {"drift": f, "diffusion2": g2, "time of SNR 1": t, "mean": float(x.mean()), "std": float(x.std())}


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:14} {value:8.4f}")
    print("(two ancestral steps with an exact posterior: mean 0.3 and std 0.5 up to sampling noise)")
