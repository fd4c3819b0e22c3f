"""Measures of samples against data, on plain tensors: distances between clouds, copies of training examples."""

from reverie.metrics.energy import energy_distance
from reverie.metrics.memorisation import copy_shares, nearest

__all__ = ["copy_shares", "energy_distance", "nearest"]
