"""Guidance: denoisers made of denoisers. Conditions, other priors, inverse problems, and particles for exactness."""

from reverie.guidance.base import Guidance, Twist, Twisted
from reverie.guidance.classifier import Classifier, ComponentClassifier, NoisyClassifier
from reverie.guidance.classifier_free import Auto, ClassifierFree
from reverie.guidance.composition import Blend, Product
from reverie.guidance.inverse import Dps, MomentMatching, Observation, PiGdm, Projection, Replacement
from reverie.guidance.operators import Blur, Grey, Identity, Linear, Mask, Matrix, Operator, Pool
from reverie.guidance.potential import DirectPotential, NoisyPotential, Potential
from reverie.guidance.rewards import Closeness, MeanColour, RegionAverage, Reward, Smoothness, TotalVariation
from reverie.guidance.truth import LinearPosterior, linear_posterior

__all__ = [
    "Auto",
    "Blend",
    "Blur",
    "Classifier",
    "ClassifierFree",
    "Closeness",
    "ComponentClassifier",
    "DirectPotential",
    "Dps",
    "Grey",
    "Guidance",
    "Identity",
    "Linear",
    "LinearPosterior",
    "Mask",
    "Matrix",
    "MeanColour",
    "MomentMatching",
    "NoisyClassifier",
    "NoisyPotential",
    "Observation",
    "Operator",
    "PiGdm",
    "Pool",
    "Potential",
    "Product",
    "Projection",
    "RegionAverage",
    "Replacement",
    "Reward",
    "Smoothness",
    "TotalVariation",
    "Twist",
    "Twisted",
    "linear_posterior",
]
