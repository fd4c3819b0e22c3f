"""In what space examples are compared. Numbers from different features do not compare with one another.

`values`      the numbers themselves, for points, tables and other short vectors
`pca`         the 64 leading principal components of the training examples
`classifier`  the hidden layer of a small classifier of the user's own labels, on those components
`random`      a fixed random convolutional network, the same on every machine, for pictures and signals
`pairs`       how often each two letters stand side by side, in their leading principal components, for text
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import Tensor
from torch.nn import functional as F

from reverie.core.errors import UserError, unknown
from reverie.core.rng import Rng

COMPONENTS = 64
MOST_LETTERS = 64  # different values of which all pairs are counted, at most
SHORT = 16  # numbers that are compared as they are
FITTED = 10_000  # examples that features are fitted to, at most
ENOUGH = 1000  # examples of which a tenth can be spared to stop the classifier's training by
BLOCK = 2048  # examples that are taken to features together
WIDTH, DEPTH = 32, 3  # channels of each layer of the random network, and its layers


@dataclass(frozen=True)
class Features:
    """A named map from examples (N, *shape) in model units to features (N, F), and to labels where it knows them."""

    name: str
    block: Callable[[Tensor], Tensor]
    labels: Callable[[Tensor], Tensor] | None = None

    def of(self, x: Tensor) -> Tensor:
        """Features (N, F) in float64, some examples at a time."""
        return torch.cat([self.block(part) for part in x.split(BLOCK)]) if len(x) else self.block(x)

    def label(self, x: Tensor) -> Tensor | None:
        """The labels (N,) that these features' classifier gives; None for features without one."""
        return None if self.labels is None else torch.cat([self.labels(part) for part in x.split(BLOCK)])


def values(train: Tensor, labels: Tensor | None) -> Features:
    """The numbers themselves."""
    return Features("values", lambda x: x.flatten(1).double())


def pca(train: Tensor, labels: Tensor | None) -> Features:
    """Leading principal components of the training examples."""
    return Features("pca", _components(train))


def classifier(train: Tensor, labels: Tensor | None) -> Features:
    """The hidden layer of a classifier of the data's own labels. Raises UserError where there are none."""
    if labels is None:
        raise UserError("features 'classifier' need labelled data; choose pca, random or values")
    components = _components(train)
    enough = len(train) >= ENOUGH
    network = MLPClassifier((128,), early_stopping=enough, max_iter=60 if enough else 300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(components(train[:FITTED]).numpy(), labels[:FITTED].numpy())
    weight, bias = (torch.from_numpy(a[0]) for a in (network.coefs_, network.intercepts_))
    return Features(
        "classifier",
        lambda x: (components(x) @ weight + bias).relu(),
        lambda x: torch.from_numpy(network.predict(components(x).numpy())),
    )


def random(train: Tensor, labels: Tensor | None) -> Features:
    """A random convolutional network: after each of its layers the mean response in the quarters of the picture.

    Weights are ±√(2/fan-in), with signs from whole-number arithmetic, so that every machine has the same network.
    Raises UserError for data without neighbours in space or time.
    """
    space = train.dim() - 2
    if not 1 <= space <= 3:
        raise UserError("features 'random' are for pictures and signals; choose values or pca")
    layers, channels = [], train.shape[1]
    for k in range(DEPTH):
        weight = torch.empty(WIDTH, channels, *[3] * space, dtype=torch.float64)
        layers.append(Rng(0).fork("random features", k).rademacher(weight) * (2 / weight[0].numel()) ** 0.5)
        channels = WIDTH
    return Features("random", lambda x: _responses(x.double(), layers))


def pairs(train: Tensor, labels: Tensor | None) -> Features:
    """How often each two of the values stand side by side. Raises UserError but for rows of few values."""
    levels = train.unique()
    if train.shape[1:-1].numel() != 1 or len(levels) > MOST_LETTERS or train.shape[-1] < 2:
        raise UserError(f"features 'pairs' are for rows of {MOST_LETTERS} letters at most; choose pca or random")

    def counted(x: Tensor) -> Tensor:
        codes = torch.bucketize(x.flatten(1).contiguous(), (levels[1:] + levels[:-1]) / 2)
        both = codes[:, :-1] * len(levels) + codes[:, 1:]
        found = torch.zeros(len(x), len(levels) ** 2, dtype=torch.float64)
        return found.scatter_add_(1, both, torch.ones_like(both, dtype=torch.float64))

    components = _components(counted(train[:FITTED]))
    return Features("pairs", lambda x: components(counted(x)))


def _responses(x: Tensor, layers: list[Tensor]) -> Tensor:
    space = x.dim() - 2
    convolve = (F.conv1d, F.conv2d, F.conv3d)[space - 1]
    shrink = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[space - 1]
    quarters = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[space - 1]
    found = []
    for weight in layers:
        x = convolve(x, weight, padding=1).relu()
        found.append(quarters(x, 2).flatten(1))
        x = shrink(x, 2, ceil_mode=True) if min(x.shape[2:]) > 1 else x
    return torch.cat(found, 1)


def _components(train: Tensor) -> Callable[[Tensor], Tensor]:
    flat = train[:FITTED].flatten(1).double().numpy()
    fitted = PCA(min(COMPONENTS, *flat.shape), random_state=0).fit(flat)
    return lambda x: torch.from_numpy(fitted.transform(x.flatten(1).double().numpy()))


FEATURES: dict[str, Callable[[Tensor, Tensor | None], Features]] = {
    "values": values,
    "pca": pca,
    "classifier": classifier,
    "random": random,
    "pairs": pairs,
}


def choose(name: str, train: Tensor, labels: Tensor | None, *, text: bool = False) -> Features:
    """Features by name. `auto`: the numbers themselves up to 16 of them; the classifier where there are labels; pairs
    of letters for text; the random network for other pictures; else pca.
    """
    if name == "auto":
        by_kind = "classifier" if labels is not None else "random" if train.dim() == 4 else "pairs" if text else "pca"
        name = "values" if train[0].numel() <= SHORT else by_kind
    if name not in FEATURES:
        raise unknown("features", name, ["auto", *FEATURES])
    return FEATURES[name](train, labels)
