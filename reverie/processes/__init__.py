"""Forward processes (they destroy data) and the schedules of the Gaussian one."""

from reverie.processes.base import Process
from reverie.processes.binomial import Binomial
from reverie.processes.blur import Blur
from reverie.processes.categorical import Absorbing, DiscretizedGaussian, Stochastic, Uniform
from reverie.processes.chain import Chain, CosineErasure, Erasure, Steady
from reverie.processes.gaussian import Gaussian
from reverie.processes.knots import Knots
from reverie.processes.schedule import Schedule
from reverie.processes.schedules import Edm, Flow, Sigmoid, SubVp, Ve, VpCosine, VpLinear, ZeroTerminal
from reverie.processes.tables import ConstantBeta, Cosine, LinearBeta

__all__ = [
    "Absorbing",
    "Binomial",
    "Blur",
    "Chain",
    "ConstantBeta",
    "Cosine",
    "CosineErasure",
    "DiscretizedGaussian",
    "Edm",
    "Erasure",
    "Flow",
    "Gaussian",
    "Knots",
    "LinearBeta",
    "Process",
    "Schedule",
    "Sigmoid",
    "Steady",
    "Stochastic",
    "SubVp",
    "Uniform",
    "Ve",
    "VpCosine",
    "VpLinear",
    "ZeroTerminal",
]
