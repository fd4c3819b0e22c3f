"""The two-sample test by classifier: can a classifier tell samples from real data it has not seen?

The held-out accuracy is ½ for equal laws; it is a mean of independent right-or-wrongs, so its error is known.
Reference: Lopez-Paz & Oquab 2017, arXiv:1610.06545, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.rng import Rng
from reverie.metrics.frechet import pair


@dataclass(frozen=True)
class TwoSample:
    """Held-out accuracy in [0, 1], its standard error under equal laws, and the one-sided p-value."""

    accuracy: float
    error: float
    p_value: float


def two_sample_test(x: Tensor, y: Tensor, *, linear: bool = False, seed: int = 0) -> TwoSample:
    """Train on half of both sides, judge on the other half; boosted trees, or a logistic regression if `linear`."""
    # scikit-learn takes a second to load, and training needs it not
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = pair(x, y)
    count = min(len(x), len(y))
    order = [Rng(seed).fork("two-sample", k).uniform(len(side)).argsort()[:count] for k, side in enumerate((x, y))]
    data = torch.cat((x[order[0]], y[order[1]])).numpy()
    side = np.repeat([0, 1], count)
    training = np.tile(np.arange(count) < count // 2, 2)
    trees = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)) if linear else trees
    judge.fit(data[training], side[training])
    judged = int((~training).sum())
    accuracy = float((judge.predict(data[~training]) == side[~training]).mean())
    error = 0.5 / math.sqrt(judged)
    return TwoSample(accuracy, error, 0.5 * math.erfc((accuracy - 0.5) / error / math.sqrt(2)))
