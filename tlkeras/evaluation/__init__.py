"""How good a trained model is: one pass over held-out data, one report."""

from tlkeras.evaluation._evaluate import evaluate
from tlkeras.evaluation.report import Report

__all__ = ["Report", "evaluate"]
