"""Likelihoods: how many nats a datum costs, by bounds and exactly, each term by name and with its error."""

from reverie.denoisers.decoder import Continuous, Decoder, Discretised, Posterior
from reverie.likelihoods.base import Bound, Curve, Likelihood, evaluate, join
from reverie.likelihoods.elbo import Elbo

__all__ = [
    "Bound",
    "Continuous",
    "Curve",
    "Decoder",
    "Discretised",
    "Elbo",
    "Likelihood",
    "Posterior",
    "evaluate",
    "join",
]
