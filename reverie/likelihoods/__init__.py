"""Likelihoods: how many nats a datum costs, by bounds and exactly, each term by name and with its error."""

from reverie.denoisers.decoder import Continuous, Decoder, Discretised, Posterior
from reverie.likelihoods.base import Bound, Curve, Likelihood, evaluate, join
from reverie.likelihoods.continuous import Vlb, learn_knots
from reverie.likelihoods.dequantised import Dequantised
from reverie.likelihoods.divergence import Divergence, Exact, Hutchinson
from reverie.likelihoods.elbo import Elbo
from reverie.likelihoods.encoded import Encoded
from reverie.likelihoods.importance import Importance
from reverie.likelihoods.ode import Ode
from reverie.likelihoods.solvers import Adaptive, RungeKutta, Solver
from reverie.likelihoods.thermodynamics import Tradeoff, entropy_bounds, rate_distortion, reverse_entropy

__all__ = [
    "Adaptive",
    "Bound",
    "Continuous",
    "Curve",
    "Decoder",
    "Dequantised",
    "Discretised",
    "Divergence",
    "Elbo",
    "Encoded",
    "Exact",
    "Hutchinson",
    "Importance",
    "Likelihood",
    "Ode",
    "Posterior",
    "RungeKutta",
    "Solver",
    "Tradeoff",
    "Vlb",
    "entropy_bounds",
    "evaluate",
    "join",
    "learn_knots",
    "rate_distortion",
    "reverse_entropy",
]
