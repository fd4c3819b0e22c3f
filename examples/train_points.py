"""Training in a few seconds, with nothing but the pieces: data, process, network, loss, a loop, a sampler."""

import torch

from reverie.core.rng import Rng
from reverie.data import open_data
from reverie.denoisers import F, NetworkDenoiser
from reverie.losses import EdmWeight, LogNormal, Regression
from reverie.metrics import energy_distance
from reverie.networks import Mlp
from reverie.processes import Gaussian, VpLinear
from reverie.samplers import Ddim, Karras, sample


def main(steps: int = 400, batch: int = 512) -> tuple[float, float]:
    data = open_data("moons")
    train, held_out = data.split(0.2)
    denoiser = NetworkDenoiser(Gaussian(VpLinear()), Mlp(shape=(2,), width=96, depth=2), F())
    loss = Regression(weight=EdmWeight(), times=LogNormal())
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for step in range(steps):
        choice = train[Rng(0).fork("batch", step).integers(batch, len(train))]
        value = loss(denoiser, data.rows(choice), rng=Rng(0).fork("loss", step)).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    x = sample(denoiser.eval(), (1000, 2), sampler=Ddim(), steps=20, grid=Karras(), rng=Rng(1))
    real = data.rows(held_out)[:1000]
    return energy_distance(x, real), energy_distance(data.rows(train[:1000]), real)


if __name__ == "__main__":
    found, floor = main()
    print(f"energy distance to held-out data: samples {found:.5f}, real data {floor:.5f}")
