"""How good a trained model is: one pass over held-out data, one report."""

from tlkeras.evaluation._calibrate import Temperature, calibrate
from tlkeras.evaluation._evaluate import evaluate
from tlkeras.evaluation.comparison import Comparison, compare
from tlkeras.evaluation.report import Report

__all__ = [
    "Comparison",
    "Report",
    "Temperature",
    "calibrate",
    "compare",
    "evaluate",
]
