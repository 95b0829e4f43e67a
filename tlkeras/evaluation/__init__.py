"""How good a trained model is: one pass over held-out data, one report."""

from tlkeras.evaluation.anomalies import Anomalies, AnomalyFigures, series_anomalies
from tlkeras.evaluation.backtesting import Backtest, backtest
from tlkeras.evaluation.boosting import boosting_report
from tlkeras.evaluation.calibrating import Temperature, calibrate
from tlkeras.evaluation.classical import classical_report
from tlkeras.evaluation.comparison import Comparison, compare
from tlkeras.evaluation.epochs import EpochReports
from tlkeras.evaluation.evaluating import evaluate
from tlkeras.evaluation.gap import DomainGap, domain_gap
from tlkeras.evaluation.importance import Importances, permutation_importance
from tlkeras.evaluation.report import Report

__all__ = [
    "Anomalies",
    "AnomalyFigures",
    "Backtest",
    "Comparison",
    "DomainGap",
    "EpochReports",
    "Importances",
    "Report",
    "Temperature",
    "backtest",
    "boosting_report",
    "calibrate",
    "classical_report",
    "compare",
    "domain_gap",
    "evaluate",
    "permutation_importance",
    "series_anomalies",
]
