"""Training objectives: one regression loss, crossed with weights and laws of times."""

from reverie.losses.base import Loss, TimedLoss
from reverie.losses.regression import Regression
from reverie.losses.times import Continuous, Discrete, LogNormal, LogUniform, Times
from reverie.losses.weights import (
    EdmWeight,
    Flat,
    MinSnr,
    SigmaSquared,
    Simple,
    Snr,
    SnrPlusOne,
    TruncatedSnr,
    Weight,
)

__all__ = [
    "Continuous",
    "Discrete",
    "EdmWeight",
    "Flat",
    "LogNormal",
    "LogUniform",
    "Loss",
    "MinSnr",
    "Regression",
    "SigmaSquared",
    "Simple",
    "Snr",
    "SnrPlusOne",
    "TimedLoss",
    "Times",
    "TruncatedSnr",
    "Weight",
]
