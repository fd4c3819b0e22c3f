"""One evaluator for all sides: a classifier of the real training images, whose last hidden layer measures samples.

The Fréchet distance in its features has units of their own, so it is scaled: as many real training images as there are
samples (2,000) are at 2.0 from the held-out images. A number is read beside this floor, and never beside one from other
features. The evaluator is a function of the data and a seed; it is trained once and kept.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reverie.core.rng import Rng
from reverie.data import Dataset
from reverie.metrics import frechet_distance
from reverie.networks import keep_memory, precision

FLOOR = 2.0
KEPT = Path("runs") / "benchmarks"


class Network(nn.Module):
    """Five convolutions, two of them halving, a hidden layer of 128 and the logits."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        last = 128 * math.ceil(height / 4) * math.ceil(width / 4)
        sizes = [(channels, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=s, padding=1) for a, b, s in sizes)
        self.hidden, self.out = nn.Linear(last, 128), nn.Linear(128, classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in model units → (N, 128)."""
        h = x.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            h = F.relu(convolution(h))
        return F.relu(self.hidden(F.dropout(h.flatten(1), 0.3, self.training)))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))


class Evaluator:
    """Distances of samples to the held-out images of a data set."""

    def __init__(self, dataset: Dataset, *, epochs: int = 3, count: int = 2000, kept: Path = KEPT) -> None:
        self.dataset, (self.train, self.held) = dataset, dataset.split(0.1, 0)
        torch.manual_seed(0)  # torch's layers draw from it
        self.network = Network(tuple(dataset.spec.shape), len(dataset.spec.classes))
        file = kept / f"evaluator-{dataset.spec.name}-{epochs}.safetensors"
        if file.is_file():
            self.network.load_state_dict(load_file(file))
        else:
            fit(self.network, dataset, self.train, epochs=epochs)
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(self.network.state_dict(), file)
        self.network.eval()
        self.real = self.features(dataset.rows(self.held))
        self.scale = 1.0
        self.scale = FLOOR / self.floor(count)

    @torch.inference_mode()
    def features(self, x: Tensor) -> Tensor:
        return torch.cat([self.network.features(part).double() for part in x.split(500)])

    @torch.inference_mode()
    def accuracy(self) -> float:
        """The share of held-out images whose class is named rightly."""
        label = self.dataset.labels(self.held)
        assert label is not None
        return float(self.network.out(self.real.float()).argmax(1).eq(label).double().mean())

    def floor(self, count: int) -> float:
        """The distance of so many real training images."""
        chosen = self.train[Rng(1).fork("floor").uniform(len(self.train)).argsort()[:count]]
        return self.distance(self.dataset.rows(chosen))

    def distance(self, x: Tensor) -> float:
        """The scaled Fréchet distance of samples (N, C, H, W) in model units, cut to their bounds."""
        return self.scale * frechet_distance(self.features(x.clamp(-1, 1)), self.real)


def fit(network: Network, dataset: Dataset, index: Tensor, *, epochs: int, batch: int = 128) -> None:
    """AdamW with a rising and falling rate; the order of the images is a function of the epoch."""
    keep_memory()
    steps = epochs * (len(index) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    network.train()
    for epoch in range(epochs):
        order = index[Rng(0).fork("evaluator", epoch).uniform(len(index)).argsort()]
        for rows in order.split(batch)[: len(index) // batch]:
            label = dataset.labels(rows)
            assert label is not None
            with precision("auto")():
                loss = F.cross_entropy(network(dataset.rows(rows)).float(), label, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
