"""What an update is shown: examples, labels and conditions by position, each a function of (seed, position).

Position p = update · batch + place. Label dropout draws from (seed, p) too, so that a shard or a resumed run sees what
the whole would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.errors import UserError
from reverie.core.rng import Rng
from reverie.core.tensors import onto_gpu
from reverie.data import Dataset
from reverie.data.order import balance, order
from reverie.denoisers import Condition


@dataclass(frozen=True)
class Batch:
    """Examples x0 (B, *D) in model units, their condition (None if the model has none), and their positions (B,)."""

    x0: Tensor
    condition: Condition | None
    positions: Tensor


class Feed:
    """Batches of a dataset's training examples."""

    def __init__(
        self,
        dataset: Dataset,
        index: Tensor,
        *,
        seed: int,
        device: torch.device,
        dropout: float,
        balanced: bool = False,
    ) -> None:
        self.dataset, self.index, self.seed, self.device, self.dropout = (
            dataset.on(device),
            index,
            seed,
            device,
            dropout,
        )
        labels = dataset.labels(index)
        if balanced and labels is None:
            raise UserError("balance shows rare classes as often as common ones, but the data have no labels")
        self.weights = balance(labels) if balanced and labels is not None else None
        self.classes, self.conditions = len(dataset.spec.classes), len(dataset.spec.conditions)

    def examples(self, positions: range) -> Tensor:
        """The example numbers at these positions, (B,) int64."""
        return self.index[order(len(self.index), self.seed, positions.start, len(positions), self.weights)]

    def at(self, positions: range, ahead: range | None = None) -> Batch:
        """The batch at these positions; `ahead` names those that will be asked for next."""
        index = self.examples(positions)
        x0 = self._sent(self.dataset.rows(index))
        if ahead is not None:
            self.dataset.ahead(self.examples(ahead))
        number = torch.arange(positions.start, positions.stop)
        return Batch(x0, self._condition(index, number), number)

    def _condition(self, index: Tensor, number: Tensor) -> Condition | None:
        if not self.classes and not self.conditions:
            return None
        hidden = Rng(self.seed).fork("label dropout").at(number).uniform(len(number)) < self.dropout
        label, numbers = self.dataset.labels(index), self.dataset.condition(index)
        if label is not None:
            label = self._sent(label.masked_fill(hidden, self.classes))
        if numbers is not None:
            numbers = self._sent(numbers.masked_fill(hidden[:, None], torch.nan))
        return Condition(label, numbers)

    def _sent(self, x: Tensor) -> Tensor:
        """On the device; from locked pages, the host does not wait for the copy."""
        if onto_gpu(self.device) and x.is_cpu:
            x = x.pin_memory()
        return x.to(self.device, non_blocking=onto_gpu(self.device))
