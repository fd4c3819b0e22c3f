"""Forward processes (they destroy data) and the schedules of the Gaussian one."""

from reverie.processes.base import Process
from reverie.processes.gaussian import Gaussian
from reverie.processes.schedule import Schedule
from reverie.processes.schedules import Edm, Flow, Sigmoid, SubVp, Ve, VpCosine, VpLinear, ZeroTerminal
from reverie.processes.tables import ConstantBeta, Cosine, LinearBeta

__all__ = [
    "ConstantBeta",
    "Cosine",
    "Edm",
    "Flow",
    "Gaussian",
    "LinearBeta",
    "Process",
    "Schedule",
    "Sigmoid",
    "SubVp",
    "Ve",
    "VpCosine",
    "VpLinear",
    "ZeroTerminal",
]
