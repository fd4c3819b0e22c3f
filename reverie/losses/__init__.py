"""Training objectives: one regression loss, crossed with weights and laws of times; the bound; both."""

from reverie.losses.adversarial import Adversarial
from reverie.losses.base import Loss, TimedLoss
from reverie.losses.elbo import ContinuousBound, FullBound
from reverie.losses.entropy import CrossEntropy
from reverie.losses.hybrid import Hybrid
from reverie.losses.regression import Regression
from reverie.losses.score_matching import ImplicitScore, SlicedScore
from reverie.losses.times import Continuous, Discrete, LogNormal, LogSnrRange, LogUniform, Times
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
    "Adversarial",
    "Continuous",
    "ContinuousBound",
    "CrossEntropy",
    "Discrete",
    "EdmWeight",
    "Flat",
    "FullBound",
    "Hybrid",
    "ImplicitScore",
    "LogNormal",
    "LogSnrRange",
    "LogUniform",
    "Loss",
    "MinSnr",
    "Regression",
    "SigmaSquared",
    "Simple",
    "SlicedScore",
    "Snr",
    "SnrPlusOne",
    "TimedLoss",
    "Times",
    "TruncatedSnr",
    "Weight",
]
