"""In what space examples are compared. Numbers from different features do not compare with one another.

`values`      the numbers themselves, for points, tables and other short vectors
`pca`         the 64 leading principal components of the training examples
`classifier`  the hidden layer of a small classifier of the user's own labels, on those components
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

from reverie.core.errors import UserError, unknown

COMPONENTS = 64
SHORT = 16  # numbers that are compared as they are
FITTED = 10_000  # examples that features are fitted to, at most


@dataclass(frozen=True)
class Features:
    """A named map from examples (N, *shape) in model units to features (N, F), and to labels where it knows them."""

    name: str
    of: Callable[[Tensor], Tensor]
    label: Callable[[Tensor], Tensor] | None = None


def values(train: Tensor, labels: Tensor | None) -> Features:
    """The numbers themselves."""
    return Features("values", lambda x: x.flatten(1).double())


def pca(train: Tensor, labels: Tensor | None) -> Features:
    """Leading principal components of the training examples."""
    fitted = _components(train)
    return Features("pca", lambda x: torch.from_numpy(fitted.transform(x.flatten(1).double().numpy())))


def classifier(train: Tensor, labels: Tensor | None) -> Features:
    """The hidden layer of a classifier of the data's own labels. Raises UserError where there are none."""
    if labels is None:
        raise UserError("features 'classifier' need labelled data; choose pca or values")
    fitted = _components(train)
    network = MLPClassifier((128,), early_stopping=True, max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(fitted.transform(train[:FITTED].flatten(1).double().numpy()), labels[:FITTED].numpy())
    weight, bias = (torch.from_numpy(a[0]) for a in (network.coefs_, network.intercepts_))

    def components(x: Tensor) -> Tensor:
        return torch.from_numpy(fitted.transform(x.flatten(1).double().numpy()))

    return Features(
        "classifier",
        lambda x: (components(x) @ weight + bias).relu(),
        lambda x: torch.from_numpy(network.predict(components(x).numpy())),
    )


def _components(train: Tensor) -> PCA:
    flat = train[:FITTED].flatten(1).double().numpy()
    return PCA(min(COMPONENTS, *flat.shape), random_state=0).fit(flat)


FEATURES: dict[str, Callable[[Tensor, Tensor | None], Features]] = {
    "values": values,
    "pca": pca,
    "classifier": classifier,
}


def choose(name: str, train: Tensor, labels: Tensor | None) -> Features:
    """Features by name; `auto` takes the numbers themselves up to 16 of them, else the labels' classifier, else pca."""
    if name == "auto":
        short = train[0].numel() <= SHORT
        name = "values" if short else "classifier" if labels is not None else "pca"
    if name not in FEATURES:
        raise unknown("features", name, ["auto", *FEATURES])
    return FEATURES[name](train, labels)
