"""Guidance: denoisers made of denoisers. Conditions, other priors, inverse problems, and particles for exactness."""

from reverie.guidance.base import Guidance, Twist, Twisted
from reverie.guidance.bounded import Bounded
from reverie.guidance.classifier import Classifier, ComponentClassifier, NoisyClassifier
from reverie.guidance.classifier_free import Auto, ClassifierFree
from reverie.guidance.composition import Blend, Product
from reverie.guidance.inverse import Dps, MomentMatching, Observation, PiGdm, Projection, Replacement
from reverie.guidance.operators import Blur, Grey, Identity, Linear, Mask, Matrix, Operator, Pool
from reverie.guidance.particles import Cloud, Outcome, Particles, effective, systematic
from reverie.guidance.potential import DirectPotential, NoisyPotential, Potential
from reverie.guidance.repaint import RePaint
from reverie.guidance.rewards import Closeness, MeanColour, RegionAverage, Reward, Smoothness, TotalVariation
from reverie.guidance.truth import LinearPosterior, linear_posterior

__all__ = [
    "Auto",
    "Blend",
    "Blur",
    "Bounded",
    "Classifier",
    "ClassifierFree",
    "Closeness",
    "Cloud",
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
    "Outcome",
    "Particles",
    "PiGdm",
    "Pool",
    "Potential",
    "Product",
    "Projection",
    "RePaint",
    "RegionAverage",
    "Replacement",
    "Reward",
    "Smoothness",
    "TotalVariation",
    "Twist",
    "Twisted",
    "effective",
    "linear_posterior",
    "systematic",
]
