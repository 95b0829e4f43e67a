"""The pictures of a report as image files with a description for each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tlkeras.evaluation.drawing import Drawing
from tlkeras.metrics.table import number, one_line

_SQUARE = (4.8, 4.2)
_TOP_LOSSES = 9
_LONGEST_TEXT = 300


class Picture(NamedTuple):
    """A picture, its file name without suffix, and what it shows in words."""

    name: str
    caption: str
    description: str
    data: bytes
    kind: str = "png"

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}.{self.kind}"


def pictures(report: Drawing) -> list[Picture]:
    """Draws the pictures that suit `report`: its task, its slices, its examples."""
    drawn = [draw(report) for draw in _PICTURES[report.task]]
    drawn += [_slices(report, i, name) for i, name in enumerate(report.slices)]
    return [picture for picture in [*drawn, _top_losses(report)] if picture is not None]


def example_texts(report: Drawing, positions: np.ndarray) -> list[str] | None:
    """Returns the texts at positions, where the examples are texts."""
    inputs = _examples(report, positions)
    if inputs is None or inputs.dtype.kind not in "OU":
        return None
    texts = (" | ".join(np.atleast_1d(text)) for text in inputs)
    return [one_line(text, _LONGEST_TEXT) for text in texts]


def _examples(report: Drawing, positions: np.ndarray) -> np.ndarray | None:
    """Returns examples to show, or `None` where there is no showing them."""
    try:
        return report.examples(positions)
    except ValueError:
        return None


def _confusion(report: Drawing) -> Picture:
    from tlkeras.plots import to_png
    from tlkeras.plots.confusion import confusion_size

    description = (
        f"Confusion matrix of {len(report.class_names)} classes, rows true, columns "
        f"predicted. Accuracy {number(report.accuracy)}. {_worst_confusion(report)}"
    )
    png = to_png(report.plot_confusion, confusion_size(report.class_names))
    return Picture("confusion", "Confusion matrix", description, png)


def _worst_confusion(report: Drawing) -> str:
    worst = report.most_confused(1)
    if not worst:
        return "No example was confused."
    return (
        f"Most frequent confusion: {worst[0]['true']} predicted as "
        f"{worst[0]['predicted']}, {worst[0]['count']} times."
    )


def _residuals(report: Drawing) -> Picture:
    from tlkeras.plots import to_png

    residuals = report.y_true - report.y_pred
    description = (
        "Residuals (true minus predicted) over predicted values. They lie between "
        f"{number(residuals.min())} and {number(residuals.max())}, with a mean of "
        f"{number(residuals.mean())}."
    )
    png = to_png(report.plot_residuals, (5.2, 4.0))
    return Picture("residuals", "Residuals", description, png)


def _roc(report: Drawing) -> Picture | None:
    return _curves(
        "roc", "ROC curves", "ROC curves, mean area", "roc_auc", report, report.plot_roc
    )


def _precision_recall(report: Drawing) -> Picture | None:
    return _curves(
        "precision_recall",
        "Precision and recall",
        "Precision over recall, mean average precision",
        "mean_average_precision",
        report,
        report.plot_precision_recall,
    )


def _curves(
    name: str, caption: str, words: str, metric: str, report: Drawing, draw: Callable
) -> Picture | None:
    from tlkeras.plots import to_png

    value = report.metrics[metric]
    if not np.isfinite(value):
        return None
    description = f"{words} {number(value)}."
    return Picture(name, caption, description, to_png(draw, _SQUARE))


def _reliability(report: Drawing) -> Picture:
    from tlkeras.plots import to_png

    description = (
        "Share of right predictions by confidence. Expected calibration error "
        f"{number(report.metrics['ece'])}."
    )
    png = to_png(report.plot_reliability, _SQUARE)
    return Picture("reliability", "Reliability", description, png)


def _slices(report: Drawing, index: int, name: str) -> Picture:
    from tlkeras.plots import to_png
    from tlkeras.plots.slices import slices_size

    table = report.slices[name]
    description = f"{table.figure} by {name}, worst slice {table[0]['slice']}."
    png = to_png(lambda ax: report.plot_slices(name, ax), slices_size(len(table)))
    return Picture(f"slices_{index + 1}", f"By {name}", description, png)


def _top_losses(report: Drawing) -> Picture | None:
    """Draws the examples of the highest losses where they are pictures."""
    from tlkeras.plots import to_jpeg
    from tlkeras.plots.examples import are_images, examples_size, plot_examples

    positions = report.top_losses(_TOP_LOSSES)
    inputs = _examples(report, positions)
    if inputs is None or not are_images(inputs):
        return None
    titles = [report.verdict(i) for i in positions]
    data = to_jpeg(
        lambda ax: plot_examples(inputs, titles, ax), examples_size(len(inputs))
    )
    description = f"The highest losses: {'; '.join(titles)}."
    return Picture("top_losses", "Highest losses", description, data, "jpeg")


_PICTURES = {
    "classification": (_confusion, _roc, _precision_recall, _reliability),
    "multi_label": (_roc, _precision_recall, _reliability),
    "regression": (_residuals,),
}
