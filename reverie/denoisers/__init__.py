"""Denoisers: they state p(x_0 | x_t). A network with its prediction, or an oracle that knows the data's law."""

from reverie.denoisers.base import Condition, Denoiser, gaussian, noise, score
from reverie.denoisers.exact import EmpiricalData, GaussianData, Mixture
from reverie.denoisers.finite import FiniteData
from reverie.denoisers.implicit import ImplicitDenoiser
from reverie.denoisers.latent import Latent, Stage
from reverie.denoisers.network import Learned, NetworkDenoiser
from reverie.denoisers.prediction import X0, Eps, F, Mu, Prediction, Score, V, Velocity
from reverie.denoisers.token import TokenDenoiser

__all__ = [
    "X0",
    "Condition",
    "Denoiser",
    "EmpiricalData",
    "Eps",
    "F",
    "FiniteData",
    "GaussianData",
    "ImplicitDenoiser",
    "Latent",
    "Learned",
    "Mixture",
    "Mu",
    "NetworkDenoiser",
    "Prediction",
    "Score",
    "Stage",
    "TokenDenoiser",
    "V",
    "Velocity",
    "gaussian",
    "noise",
    "score",
]
