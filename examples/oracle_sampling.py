"""Sampling with an oracle: where the data's law is known, the denoiser is exact and only the sampler can err."""

import torch

from reverie.core.rng import Rng
from reverie.denoisers import Mixture
from reverie.metrics import energy_distance
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ancestral, Ddim, Heun, Karras, sample

COUNT = 2000


def main() -> dict[str, float]:
    angle = torch.arange(6) * torch.pi / 3
    means = torch.stack((angle.cos(), angle.sin()), 1).double()
    oracle = Mixture(Gaussian(VpLinear()), torch.ones(6).double(), means, torch.full((6,), 0.1).double())

    def real(seed: int) -> torch.Tensor:
        rng = Rng(seed)
        noise = rng.fork("noise").normal(torch.empty(COUNT, 2).double())
        return means[rng.fork("mode").integers(COUNT, 6)] + 0.1 * noise

    truth = real(0)
    found = {"two real samples": energy_distance(real(1), truth)}
    for sampler, steps in ((Ddim(), 20), (Heun(), 10), (Ancestral(), 20), (Ancestral(), 100)):
        x = sample(oracle, (COUNT, 2), sampler=sampler, steps=steps, grid=Karras(), rng=Rng(2))
        found[f"{type(sampler).__name__}, {steps} steps"] = energy_distance(x.double(), truth)
    return found


if __name__ == "__main__":
    for name, distance in main().items():
        print(f"{name:24} energy distance {distance:8.5f}")
