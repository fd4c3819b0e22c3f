"""Guidance: denoisers made of denoisers. Conditions, other priors, inverse problems, and particles for exactness."""

from reverie.guidance.base import Guidance, Twist, Twisted
from reverie.guidance.classifier import Classifier, ComponentClassifier, NoisyClassifier
from reverie.guidance.classifier_free import Auto, ClassifierFree
from reverie.guidance.composition import Blend, Product
from reverie.guidance.potential import DirectPotential, NoisyPotential, Potential
from reverie.guidance.rewards import Closeness, MeanColour, RegionAverage, Reward, Smoothness, TotalVariation

__all__ = [
    "Auto",
    "Blend",
    "Classifier",
    "ClassifierFree",
    "Closeness",
    "ComponentClassifier",
    "DirectPotential",
    "Guidance",
    "MeanColour",
    "NoisyClassifier",
    "NoisyPotential",
    "Potential",
    "Product",
    "RegionAverage",
    "Reward",
    "Smoothness",
    "TotalVariation",
    "Twist",
    "Twisted",
]
