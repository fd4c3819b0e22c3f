"""Denoisers: they state p(x_0 | x_t). A network with its prediction, or an oracle that knows the data's law."""

from reverie.denoisers.base import Condition, Denoiser, gaussian, noise, score
from reverie.denoisers.exact import EmpiricalData, GaussianData, Mixture
from reverie.denoisers.network import NetworkDenoiser
from reverie.denoisers.prediction import F, X0, Eps, Mu, Prediction, Score, V, Velocity

__all__ = [
    "Condition",
    "Denoiser",
    "EmpiricalData",
    "Eps",
    "F",
    "GaussianData",
    "Mixture",
    "Mu",
    "NetworkDenoiser",
    "Prediction",
    "Score",
    "V",
    "Velocity",
    "X0",
    "gaussian",
    "noise",
    "score",
]
