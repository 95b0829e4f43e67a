"""The report of an evaluation: figures computed on demand, text, HTML, files."""

import functools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.evaluation import (
    _html,
    _save,
    _text,
    classification,
    multi_label,
    regression,
)
from tlkeras.evaluation._interpret import interpret
from tlkeras.evaluation._table import ClassTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIGURES = {
    "classification": classification,
    "multi_label": multi_label,
    "regression": regression,
}


class Report:
    """What an evaluation found.

    `evaluate` makes one from a model; it can also be made of labels and outputs
    that are at hand. Figures are computed when they are first asked for. `print`
    gives a table, a notebook cell shows table and picture.

    Args:
        labels: Class numbers of shape `(n,)` or `(n, 1)`, one-hot rows, rows of
            zeros and ones, or values, as in `evaluate`.
        outputs: Probabilities, logits or predicted values, of shape `(n, outputs)`
            or `(n,)`, as in `evaluate`.
        task: `"classification"`, `"multi_label"` or `"regression"`. Defaults to
            what labels and outputs look like.
        class_names: Names of the classes in the order of the labels. Defaults to
            the numbers from 0.
        sample_weight: Weights of the examples in the loss, of shape `(n,)`.
            Defaults to 1 each.

    Attributes:
        task: The task.
        y_true: Class numbers, int64 of shape `(n,)`; zeros and ones of shape
            `(n, labels)`; or values, float64 of shape `(n,)` or `(n, targets)`.
        y_pred: Predictions, of the shape of `y_true`; float32 for a regression.
        probabilities: Float32 of shape `(n, classes)`; `None` for a regression.
        class_names: Tuple of names; `None` for a regression without any.
        sample_weight: Array of shape `(n,)`, or `None`.

    Raises:
        ValueError: If labels, outputs and names do not fit each other.

    Example:
    >>> report = Report([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> report.confusion.tolist()
    [[1, 0], [1, 1]]
    >>> round(report.accuracy, 3)
    0.667
    """

    def __init__(
        self,
        labels: Any,
        outputs: Any,
        *,
        task: str | None = None,
        class_names: Sequence[str] | None = None,
        sample_weight: Any = None,
    ) -> None:
        labels, outputs = _check_arrays(labels, outputs)
        reading = interpret(labels, outputs, task, class_names)
        self.task = reading.task
        self.class_names = reading.class_names
        self.y_true = reading.y_true
        self.y_pred = _FIGURES[self.task].predictions(reading.outputs)
        values = self.task == "regression"
        self.probabilities = None if values else reading.outputs
        self.sample_weight = _check_weights(sample_weight, len(labels))

    @property
    def _outputs(self) -> np.ndarray:
        return self.y_pred if self.probabilities is None else self.probabilities

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        """Every figure by name; see `metrics` of the module named like the task."""
        return _FIGURES[self.task].metrics(
            self.y_true, self._outputs, self.sample_weight
        )

    @functools.cached_property
    def confusion(self) -> np.ndarray | None:
        """Counts `(classes, classes)`, rows true, columns predicted.

        For labels that are not exclusive `(labels, 2, 2)`, one matrix per label;
        `None` for a regression.
        """
        return _FIGURES[self.task].confusion(self.y_true, self._outputs)

    @functools.cached_property
    def per_class(self) -> ClassTable | None:
        """Precision, recall, F1 and support of every class; `None` for a regression."""
        return _FIGURES[self.task].per_class(
            self.y_true, self._outputs, self.class_names
        )

    @property
    def accuracy(self) -> float | None:
        """Share of examples predicted rightly, or `None` for a regression.

        Where labels are not exclusive, an example counts as right only if every one
        of its labels is.
        """
        return self.metrics.get("accuracy")

    def plot_confusion(
        self, ax: "Axes | None" = None, normalize: bool = False
    ) -> "Axes":
        """Draws the confusion matrix; see `tlkeras.plots.plot_confusion`.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.
            normalize: Whether to draw shares of each row. Defaults to `False`.

        Returns:
            The axes.

        Raises:
            ValueError: If the classes are not exclusive, or there are none.

        Example:
        >>> ax = Report([0, 1], [[0.9, 0.1], [0.2, 0.8]]).plot_confusion()
        """
        from tlkeras.plots import plot_confusion

        self._check_task("plot_confusion", "classification")
        return plot_confusion(self.confusion, self.class_names, ax, normalize)

    def plot_residuals(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the residuals of a regression; see `tlkeras.plots.plot_residuals`.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: If the task is no regression.

        Example:
        >>> ax = Report([0.5, 2.0], [0.4, 2.2]).plot_residuals()
        """
        from tlkeras.plots import plot_residuals

        self._check_task("plot_residuals", "regression")
        return plot_residuals(self.y_true, self.y_pred, ax)

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values that `json.dumps` takes.

        Returns:
            Dictionary with `"task"`, `"examples"`, `"class_names"`, `"metrics"`,
            `"confusion"` and `"per_class"`. A figure that is not a number is
            `None`. Labels and predictions of the single examples are left out.

        Example:
        >>> Report([0.5, 2.0], [0.5, 1.0]).to_dict()["metrics"]["mae"]
        0.5
        """
        return {
            "task": self.task,
            "examples": len(self.y_true),
            "class_names": self.class_names and list(self.class_names),
            "metrics": {
                name: value if math.isfinite(value) else None
                for name, value in self.metrics.items()
            },
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "per_class": self.per_class and [dict(row) for row in self.per_class],
        }

    def save(self, path: str | os.PathLike) -> None:
        """Writes the report as one HTML file or as a folder.

        Files appear under their final names only when they are complete, and
        replace files of those names. An HTML file holds its pictures and refers to
        nothing outside.

        Args:
            path: File ending in `.html`; or a folder, new or not, which gets
                `report.html`, `report.json` and the picture that suits the task
                (`confusion.png` or `residuals.png`). Missing parents are made.

        Raises:
            ValueError: If `path` cannot be written to, or is neither.

        Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Report([0.5, 2.0], [0.5, 1.0]).save(folder)
        ...     sorted(file.name for file in pathlib.Path(folder).iterdir())
        ['report.html', 'report.json', 'residuals.png']
        """
        _save.save(self, path)

    def _check_task(self, method: str, task: str) -> None:
        if self.task != task:
            raise ValueError(
                f"`{method}` needs a report whose task is {task!r}. "
                f"This report's task is {self.task!r}."
            )

    def __str__(self) -> str:
        return _text.text(self)

    def __repr__(self) -> str:
        return f"<Report: {_text.headline(self)}>"

    def _repr_html_(self) -> str:
        return _html.fragment(self)


def _check_arrays(labels: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    outputs = np.asarray(outputs, dtype="float32")
    if labels.ndim == 0 or outputs.ndim not in (1, 2) or len(labels) != len(outputs):
        raise ValueError(
            "`labels` and `outputs` must be arrays of as many examples each, `outputs` "
            "of shape (n,) or (n, outputs). "
            f"Received shapes {labels.shape} and {outputs.shape}."
        )
    if not len(labels):
        raise ValueError("`labels` and `outputs` must hold at least one example.")
    return labels, outputs.reshape(len(outputs), -1)


def _check_weights(sample_weight: Any, examples: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype="float32").ravel()
    if len(weights) != examples or not np.all(weights >= 0) or not weights.any():
        raise ValueError(
            f"`sample_weight` must hold {examples} numbers of at least 0, not all of "
            f"them 0. Received {len(weights)} with a sum of {weights.sum()}."
        )
    return weights
