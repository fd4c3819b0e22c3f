"""The theory as pages that run: each a picture, the numbers behind it, and a few sentences."""

from reverie.explain.beyond import autoencoder, blurring, chains
from reverie.explain.chain import forward, reverse_step
from reverie.explain.jarzynski import jarzynski
from reverie.explain.marginals import fokker_planck, paths
from reverie.explain.page import Page
from reverie.explain.scores import annealed_langevin, score_matching

__all__ = [
    "Page",
    "annealed_langevin",
    "autoencoder",
    "blurring",
    "chains",
    "fokker_planck",
    "forward",
    "jarzynski",
    "paths",
    "reverse_step",
    "score_matching",
]
