"""All drawing of the package: functions that take numbers and return axes."""

from tlkeras.plots._figure import to_png
from tlkeras.plots.bars import plot_bars
from tlkeras.plots.confusion import plot_confusion
from tlkeras.plots.history import plot_history
from tlkeras.plots.images import image_grid
from tlkeras.plots.learning_rate import plot_learning_rates
from tlkeras.plots.residuals import plot_residuals

__all__ = [
    "image_grid",
    "plot_bars",
    "plot_confusion",
    "plot_history",
    "plot_learning_rates",
    "plot_residuals",
    "to_png",
]
