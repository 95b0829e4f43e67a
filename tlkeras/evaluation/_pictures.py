"""The pictures of a report as PNG files with a description for each."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tlkeras.evaluation._table import number

if TYPE_CHECKING:
    from tlkeras.evaluation.report import Report


class Picture(NamedTuple):
    """A picture, its file name without suffix, and what it shows in words."""

    name: str
    caption: str
    description: str
    png: bytes


def pictures(report: "Report") -> list[Picture]:
    """Draws the pictures that suit the task of `report`."""
    return [draw(report) for draw in _PICTURES[report.task]]


def _confusion(report: "Report") -> Picture:
    from tlkeras.plots import to_png
    from tlkeras.plots.confusion import confusion_size

    description = (
        f"Confusion matrix of {len(report.class_names)} classes, rows true, columns "
        f"predicted. Accuracy {number(report.accuracy)}. {_worst_confusion(report)}"
    )
    png = to_png(report.plot_confusion, confusion_size(report.class_names))
    return Picture("confusion", "Confusion matrix", description, png)


def _worst_confusion(report: "Report") -> str:
    errors = report.confusion * (1 - np.eye(len(report.confusion), dtype=int))
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    if not errors[true, predicted]:
        return "No example was confused."
    return (
        f"Most frequent confusion: {report.class_names[true]} predicted as "
        f"{report.class_names[predicted]}, {errors[true, predicted]} times."
    )


def _residuals(report: "Report") -> Picture:
    from tlkeras.plots import to_png

    residuals = report.y_true - report.y_pred
    description = (
        "Residuals (true minus predicted) over predicted values. They lie between "
        f"{number(residuals.min())} and {number(residuals.max())}, with a mean of "
        f"{number(residuals.mean())}."
    )
    png = to_png(report.plot_residuals, (5.2, 4.0))
    return Picture("residuals", "Residuals", description, png)


_PICTURES = {
    "classification": (_confusion,),
    "multi_label": (),
    "regression": (_residuals,),
}
