"""All drawing of the package: functions that take numbers and return axes."""

from tlkeras.plots._figure import to_png
from tlkeras.plots.bars import plot_bars
from tlkeras.plots.choosing import (
    pareto_front,
    plot_importances,
    plot_pareto,
    plot_trials,
)
from tlkeras.plots.confusion import plot_confusion
from tlkeras.plots.costs import plot_cost_curve
from tlkeras.plots.curves import plot_precision_recall, plot_roc
from tlkeras.plots.examples import plot_examples, to_jpeg
from tlkeras.plots.explanations import (
    evidence_size,
    heats_size,
    plot_evidence,
    plot_heat,
    plot_heats,
    plot_similarities,
    plot_words,
)
from tlkeras.plots.history import plot_history
from tlkeras.plots.images import image_grid
from tlkeras.plots.learning_rate import plot_learning_rates
from tlkeras.plots.places import plot_places
from tlkeras.plots.reliability import plot_reliability
from tlkeras.plots.residuals import plot_residuals
from tlkeras.plots.slices import plot_slices

__all__ = [
    "evidence_size",
    "heats_size",
    "image_grid",
    "pareto_front",
    "plot_bars",
    "plot_confusion",
    "plot_cost_curve",
    "plot_examples",
    "plot_heat",
    "plot_evidence",
    "plot_heats",
    "plot_history",
    "plot_importances",
    "plot_learning_rates",
    "plot_pareto",
    "plot_places",
    "plot_precision_recall",
    "plot_reliability",
    "plot_residuals",
    "plot_roc",
    "plot_similarities",
    "plot_slices",
    "plot_trials",
    "plot_words",
    "to_jpeg",
    "to_png",
]
