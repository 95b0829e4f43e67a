"""Linear models of features: the regularised loss at its minimum, not near it."""

from tlkeras.linear.fitting import Solution, solve
from tlkeras.linear.probing import Probe, probe
from tlkeras.linear.rows import Rows
from tlkeras.linear.statistics import FeatureStatistics
from tlkeras.linear.targets import Targets

__all__ = [
    "FeatureStatistics",
    "Probe",
    "Rows",
    "Solution",
    "Targets",
    "probe",
    "solve",
]
