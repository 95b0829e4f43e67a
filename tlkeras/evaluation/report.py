"""The report of an evaluation: figures computed on demand, text, HTML, files."""

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras._validation import check_int, check_number
from tlkeras.evaluation import (
    _html,
    _resampling,
    _save,
    _text,
    calibration,
    classification,
    multi_label,
    ranking,
    regression,
)
from tlkeras.evaluation._aligned import check_values, named
from tlkeras.evaluation._arguments import (
    check_arrays,
    check_groups,
    check_weights,
    inputs_of,
    options_of,
    part_of,
    positions_of,
)
from tlkeras.evaluation._drawing import Drawing
from tlkeras.evaluation._inputs import Inputs
from tlkeras.evaluation._interpret import interpret
from tlkeras.evaluation._plain import plain
from tlkeras.evaluation._resampling import CONFIDENCE, Interval
from tlkeras.evaluation._table import ClassTable
from tlkeras.evaluation.slices import SliceTable, slice_table

_FIGURES = {
    "classification": classification,
    "multi_label": multi_label,
    "regression": regression,
}


class Report(Drawing):
    """What an evaluation found.

    `evaluate` makes one from a model; it can also be made of labels and outputs
    that are at hand. Figures are computed when they are first asked for. `print`
    gives a table, a notebook cell shows tables and pictures.

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
        slices: From a name to one value per example, or such values.
        groups: One value per example; examples of one value belong together.
        thresholds: Of labels that are not exclusive: the probability from which one is
            predicted, a number or one per label. Defaults to 0.5.
        inputs: The examples, an array of pictures or texts, to show some of them.

    Attributes:
        task: The task.
        y_true: Class numbers, int64 of shape `(n,)`; zeros and ones of shape
            `(n, labels)`; or values, float64 of shape `(n,)` or `(n, targets)`.
        y_pred: Predictions, of the shape of `y_true`; float32 for a regression.
        probabilities: Float32 of shape `(n, classes)`; `None` for a regression.
        class_names: Tuple of names; `None` for a regression without any.
        sample_weight: Array of shape `(n,)`, or `None`.
        slice_values: From the name of each way to slice to its values, `(n,)`.
        groups: Array of shape `(n,)`, or `None`.

    Raises:
        ValueError: If labels, outputs, names and values do not fit each other.

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
        slices: Any = None,
        groups: Any = None,
        thresholds: Any = None,
        inputs: Any = None,
    ) -> None:
        labels, outputs = check_arrays(labels, outputs)
        reading = interpret(labels, outputs, task, class_names)
        self.task = reading.task
        self.class_names = reading.class_names
        self.y_true = reading.y_true
        self._options = options_of(self.task, thresholds, self.class_names)
        self.y_pred = self._figures.predictions(reading.outputs, **self._options)
        values = self.task == "regression"
        self.probabilities = None if values else reading.outputs
        count = len(labels)
        self.sample_weight = check_weights(sample_weight, count)
        self.slice_values = {
            name: check_values(f"`slices` {name!r}", value, count)
            for name, value in named(slices).items()
        }
        self.groups = check_groups(groups, count)
        self._inputs = inputs if isinstance(inputs, Inputs) else inputs_of(inputs)

    @property
    def _figures(self) -> Any:
        return _FIGURES[self.task]

    @property
    def _outputs(self) -> np.ndarray:
        return self.y_pred if self.probabilities is None else self.probabilities

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        """Every figure by name; see `metrics` of the module named like the task."""
        return self._figures.metrics(
            self.y_true, self._outputs, self.sample_weight, **self._options
        )

    @functools.cached_property
    def confusion(self) -> np.ndarray | None:
        """Counts `(classes, classes)`, rows true, columns predicted.

        For labels that are not exclusive `(labels, 2, 2)`, one matrix per label;
        `None` for a regression.
        """
        return self._figures.confusion(self.y_true, self._outputs, **self._options)

    @functools.cached_property
    def per_class(self) -> ClassTable | None:
        """Precision, recall, F1 and support of every class; `None` for a regression."""
        return self._figures.per_class(
            self.y_true, self._outputs, self.class_names, **self._options
        )

    @functools.cached_property
    def accuracy(self) -> float | None:
        """Share of examples predicted rightly, or `None` for a regression.

        Where labels are not exclusive, an example counts as right only if every one
        of its labels is.
        """
        return None if self.probabilities is None else float(self.main_values[1].mean())

    @functools.cached_property
    def main_values(self) -> tuple[str, np.ndarray, bool]:
        """The main figure, its value for each example, and whether more is better.

        `"accuracy"`, of 0 and 1; or `"mae"`, of absolute errors (a mean over targets).
        """
        if self.task == "regression":
            errors = np.abs(self.y_true - self.y_pred)
            return "mae", errors.reshape(len(errors), -1).mean(axis=1), False
        right = (self.y_true == self.y_pred).reshape(len(self.y_true), -1)
        return "accuracy", right.all(axis=1).astype("float64"), True

    @functools.cached_property
    def losses(self) -> np.ndarray:
        """The loss of each example: log loss in nats, or the squared error."""
        if self.probabilities is not None:
            return calibration.losses(self.y_true, self.probabilities)
        errors = (self.y_true - self.y_pred) ** 2
        return errors.reshape(len(errors), -1).mean(axis=1)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Returns the confidence interval of the accuracy, or of the mean error.

        Of the accuracy it is Wilson's; of a regression's MAE, and wherever there are
        `groups`, that of a bootstrap (over whole groups), with a fixed seed.

        Args:
            confidence: In (0, 1).

        Returns:
            `(low, high)`; NaN for the error of a single example.

        Example:
        >>> low, high = Report([0, 1] * 8, np.eye(2)[[0, 1] * 8]).interval()
        >>> round(low, 3), high
        (0.806, 1.0)
        """
        check_number("confidence", confidence, above=0, below=1)
        name, values, _ = self.main_values
        share = name == "accuracy"
        interval = _resampling.share_interval if share else _resampling.mean_interval
        return interval(values, self.groups, confidence)

    def reliability(self, bins: int = calibration.BINS) -> calibration.Reliability:
        """Compares confidence with accuracy, bin by bin.

        Args:
            bins: Number of bins of equal width. The expected calibration error
                depends on it; `metrics["ece"]` is that of 15, as in the paper.

        Returns:
            A `Reliability`, with arrays by bin and `.ece`.

        Raises:
            ValueError: If the task is a regression.

        Example:
        >>> Report([0, 1], [[0.9, 0.1], [0.1, 0.9]]).reliability(bins=10).count.tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 2, 0]

        Reference:
            Guo et al., On Calibration of Modern Neural Networks (2017).
        """
        self._check_task("reliability", "classification", "multi_label")
        check_int("bins", bins, 1)
        return calibration.reliability(self.y_true, self.probabilities, bins)

    def temperature(self) -> float:
        """Returns the temperature that calibrates the probabilities best.

        The logits divided by it have the least log loss on these examples. It is above
        1 for a model that is too confident, as most are. `tl.calibrate` makes it part
        of a model.

        Returns:
            The temperature; 1 where nothing is gained, or nothing is wrong.

        Raises:
            ValueError: If the task is a regression.

        Example:
        >>> sure = np.array([[0.99, 0.01]] * 10)
        >>> round(Report([0] * 8 + [1] * 2, sure).temperature(), 2)
        3.31

        Reference:
            Guo et al., On Calibration of Modern Neural Networks (2017).
        """
        self._check_task("temperature", "classification", "multi_label")
        return calibration.fit_temperature(self.y_true, self.probabilities)

    @functools.cached_property
    def thresholds(self) -> np.ndarray:
        """The threshold of the best F1 for each label, on these examples.

        Find them on validation data and have the model keep them (`model.thresholds =
        report.thresholds`), or pass them to `evaluate`; on the data that they were
        found on, they flatter.
        """
        self._check_task("thresholds", "multi_label")
        return multi_label.best_thresholds(self.y_true, self.probabilities)

    @functools.cached_property
    def _areas(self) -> tuple[np.ndarray, np.ndarray]:
        return ranking.areas(self.y_true, self.probabilities)

    def top_losses(self, n: int = 9) -> np.ndarray:
        """Returns the positions of the examples with the highest losses.

        They show mislabelled examples first, then what the model has not learnt.

        Args:
            n: How many; all, if there are fewer.

        Returns:
            Positions from 0 in the order of the data, the highest loss first.

        Example:
        >>> Report([0, 1, 1], [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]).top_losses(2)
        array([1, 2])
        """
        check_int("n", n, 1)
        return np.argsort(-self.losses, kind="stable")[:n]

    def most_confused(self, n: int = 10) -> list[dict[str, Any]]:
        """Returns the pairs of classes that are confused most often.

        Args:
            n: How many pairs at most.

        Returns:
            Dictionaries with `"true"`, `"predicted"`, `"count"` and `"share"` (of the
            examples of the true class), the highest count first.

        Raises:
            ValueError: If the classes are not exclusive, or there are none.

        Example:
        >>> report = Report([0, 0, 1], np.eye(2)[[0, 1, 1]], class_names=["cat", "dog"])
        >>> report.most_confused()
        [{'true': 'cat', 'predicted': 'dog', 'count': 1, 'share': 0.5}]
        """
        self._check_task("most_confused", "classification")
        check_int("n", n, 1)
        errors = self.confusion * (1 - np.eye(len(self.confusion), dtype=int))
        order = np.argsort(-errors, axis=None, kind="stable")[:n]
        pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
        totals = self.confusion.sum(axis=1)
        return [
            {
                "true": self.class_names[i],
                "predicted": self.class_names[j],
                "count": int(errors[i, j]),
                "share": float(errors[i, j] / totals[i]),
            }
            for i, j in pairs
            if errors[i, j]
        ]

    @functools.cached_property
    def slices(self) -> dict[str, SliceTable]:
        """For each way to slice, a table of its slices with the gap between them."""
        return {name: slice_table(self, name) for name in self.slice_values}

    def subset(self, where: Any) -> "Report":
        """Returns the report of some of the examples.

        Args:
            where: Booleans of shape `(n,)`, such as
                `report.slice_values["camera"] == "phone"`, or positions.

        Returns:
            A `Report` of the same task and classes.

        Raises:
            ValueError: If `where` is of another shape, or leaves no example.

        Example:
        >>> report = Report([0, 1, 1], np.eye(2)[[0, 1, 0]])
        >>> report.subset(report.y_true == 1).accuracy
        0.5
        """
        positions = positions_of(where, len(self.y_true))
        return Report(
            self.y_true[positions],
            self._outputs[positions],
            task=self.task,
            class_names=self.class_names,
            sample_weight=part_of(self.sample_weight, positions),
            slices={n: values[positions] for n, values in self.slice_values.items()},
            groups=part_of(self.groups, positions),
            inputs=self._inputs and self._inputs.select(positions),
            **self._options,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values that `json.dumps` takes.

        Returns:
            Dictionary with `"task"`, `"examples"`, `"class_names"`, `"metrics"`,
            `"interval"` (95%, of accuracy or MAE), `"confusion"`, `"per_class"` and
            `"slices"`. A figure that is not a number is `None`. Labels and predictions
            of the single examples are left out.

        Example:
        >>> Report([0.5, 2.0], [0.5, 1.0]).to_dict()["metrics"]["mae"]
        0.5
        """
        return plain(
            {
                "task": self.task,
                "examples": len(self.y_true),
                "class_names": self.class_names,
                "metrics": self.metrics,
                "interval": self.interval(),
                "confusion": self.confusion,
                "per_class": self.per_class,
                "slices": {
                    name: {"rows": table, "gap": table.gap and vars(table.gap)}
                    for name, table in self.slices.items()
                },
            }
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the report as one HTML file or as a folder.

        Files appear under their final names only when they are complete, and
        replace files of those names. An HTML file holds its pictures and refers to
        nothing outside.

        Args:
            path: File ending in `.html`; or a folder, new or not, which gets
                `report.html`, `report.json` and the pictures that suit the task
                (`confusion.png`, `residuals.png` and the like). Missing parents are
                made.

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

    def __str__(self) -> str:
        return _text.text(self)

    def __repr__(self) -> str:
        return f"<Report: {_text.headline(self)}>"

    def _repr_html_(self) -> str:
        return _html.fragment(self)

    def __getstate__(self) -> dict[str, Any]:
        # Data can hardly be copied or pickled, and a report is whole without it.
        return {**self.__dict__, "_inputs": None}
