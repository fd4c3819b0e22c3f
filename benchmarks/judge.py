"""Who names the label of a sample: a small convolutional network that saw clean training images and nothing else.

It shares neither data held out, nor noise, nor architecture with what guides, and is made afresh from a seed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.rng import Rng
from reverie.data import Dataset

Judge = Callable[[Tensor], Tensor]  # x (B, *shape) in model units → labels (B,)


def judge(data: Dataset, train: Tensor, *, updates: int = 600, batch: int = 128) -> Judge:
    """Train on the rows `train` of a labelled set of pictures."""
    channels, height, width = data.spec.shape
    stride = 1 if height <= 16 else 2
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2, stride=stride), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
    )  # fmt: skip
    features = body(torch.zeros(1, channels, height, width)).shape[1]
    head = [nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, len(data.spec.classes))]
    network = nn.Sequential(body, *head)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=updates)
    for step in range(updates):
        rows = train[Rng(0).fork("judge", step).integers(batch, len(train))]
        loss = F.cross_entropy(network(data.rows(rows)), data.labels(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    network.eval()

    @torch.inference_mode()
    def labels(x: Tensor) -> Tensor:
        return torch.cat([network(part).argmax(1) for part in x.float().split(1000)])

    return labels


def share_right(labels: Judge, x: Tensor, wanted: Tensor) -> float:
    """The share of x (B, *shape) that the judge gives the label wanted (B,)."""
    return float((labels(x) == wanted).double().mean())
