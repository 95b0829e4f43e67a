"""What a report knows: labels, predictions, and figures computed on demand."""

import functools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from tlkeras._validation import check_int, check_number
from tlkeras.evaluation.aligned import check_values, named
from tlkeras.evaluation.arguments import (
    check_arrays,
    check_groups,
    check_weights,
    examples_of,
    options_of,
    part_of,
    positions_of,
)
from tlkeras.evaluation.interpretation import interpret
from tlkeras.evaluation.plain import plain
from tlkeras.metrics import (
    calibration,
    classification,
    multi_label,
    ranking,
    regression,
    resampling,
)
from tlkeras.metrics.resampling import CONFIDENCE, Interval
from tlkeras.metrics.slices import SliceTable, slice_table
from tlkeras.metrics.table import ClassTable, number

_FUNCTIONS = {
    "classification": classification,
    "multi_label": multi_label,
    "regression": regression,
}


class Figures:
    """Labels and predictions with all that is computed of them.

    The arguments and attributes are those of `Report`, which shows them as well.
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
        self.y_pred = self._functions.predictions(reading.outputs, **self._options)
        values = self.task == "regression"
        self.probabilities = None if values else reading.outputs
        count = len(labels)
        self.sample_weight = check_weights(sample_weight, count)
        self.slice_values = {
            name: check_values(f"`slices` {name!r}", value, count)
            for name, value in named(slices).items()
        }
        self.groups = check_groups(groups, count)
        self._inputs = examples_of(inputs)

    @property
    def _functions(self) -> Any:
        return _FUNCTIONS[self.task]

    @property
    def _outputs(self) -> np.ndarray:
        return self.y_pred if self.probabilities is None else self.probabilities

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        """Every figure by name; see `metrics` of the module named like the task."""
        return self._functions.metrics(
            self.y_true, self._outputs, self.sample_weight, **self._options
        )

    @functools.cached_property
    def confusion(self) -> np.ndarray | None:
        """Counts `(classes, classes)`, rows true, columns predicted.

        For labels that are not exclusive `(labels, 2, 2)`, one matrix per label;
        `None` for a regression.
        """
        return self._functions.confusion(self.y_true, self._outputs, **self._options)

    @functools.cached_property
    def per_class(self) -> ClassTable | None:
        """Precision, recall, F1 and support of every class; `None` for a regression."""
        return self._functions.per_class(
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
        >>> low, high = tl.Report([0, 1] * 8, np.eye(2)[[0, 1] * 8]).interval()
        >>> round(low, 3), high
        (0.806, 1.0)
        """
        check_number("confidence", confidence, above=0, below=1)
        name, values, _ = self.main_values
        share = name == "accuracy"
        interval = resampling.share_interval if share else resampling.mean_interval
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
        >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.1, 0.9]])
        >>> report.reliability(bins=10).count.tolist()
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
        >>> round(tl.Report([0] * 8 + [1] * 2, sure).temperature(), 2)
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
        >>> tl.Report([0, 1, 1], [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]).top_losses(2)
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
        >>> names = ["cat", "dog"]
        >>> report = tl.Report([0, 0, 1], np.eye(2)[[0, 1, 1]], class_names=names)
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
        return {
            name: slice_table(
                name,
                values,
                self.main_values,
                self.losses,
                groups=self.groups,
                sample_weight=self.sample_weight,
            )
            for name, values in self.slice_values.items()
        }

    def subset(self, where: Any) -> Self:
        """Returns the report of some of the examples.

        Args:
            where: Booleans of shape `(n,)`, such as
                `report.slice_values["camera"] == "phone"`, or positions.

        Returns:
            A `Report` of the same task and classes.

        Raises:
            ValueError: If `where` is of another shape, or leaves no example.

        Example:
        >>> report = tl.Report([0, 1, 1], np.eye(2)[[0, 1, 0]])
        >>> report.subset(report.y_true == 1).accuracy
        0.5
        """
        positions = positions_of(where, len(self.y_true))
        return type(self)(
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
        >>> tl.Report([0.5, 2.0], [0.5, 1.0]).to_dict()["metrics"]["mae"]
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

    def examples(self, positions: Any) -> np.ndarray:
        """Returns the inputs at positions, read again from the data.

        Args:
            positions: From 0, in the order of the data.

        Returns:
            Array of pictures, or of texts as `str`.

        Raises:
            ValueError: If the report has no data, or that no longer gives the same.

        Example:
        >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.7, 0.3]], inputs=["a", "b"])
        >>> report.examples([1]).tolist()
        ['b']
        """
        if self._inputs is None:
            raise ValueError(
                "The report has no examples to show: it was not made by `evaluate`. "
                "Pass `inputs` to `Report`."
            )
        return self._inputs.read(np.asarray(positions))

    def file_names(self, positions: Any) -> list[str] | None:
        """Returns the file names of examples, or `None` where they are no files.

        Args:
            positions: From 0, in the order of the data.

        Returns:
            Paths relative to the folder of the data.

        Example:
        >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.7, 0.3]], inputs=["a", "b"])
        >>> report.file_names([1]) is None
        True
        """
        return self._inputs and self._inputs.names(np.asarray(positions))

    def verdict(self, position: int) -> str:
        """Returns in words what one example is, and what it was taken for.

        Args:
            position: From 0, in the order of the data.

        Example:
        >>> tl.Report([1], [[0.7, 0.3]], class_names=["cat", "dog"]).verdict(0)
        'dog taken for cat (0.70)'
        """
        true, predicted = self.y_true[position], self.y_pred[position]
        if self.task == "regression":
            pair = (", ".join(map(number, np.atleast_1d(v))) for v in (true, predicted))
            return "{} predicted as {}".format(*pair)
        if self.task == "multi_label":
            return f"{self._labels(true)} taken for {self._labels(predicted)}"
        share = self.probabilities[position, predicted]
        found = f"{self.class_names[predicted]} ({share:.2f})"
        if true == predicted:
            return f"rightly {found}"
        return f"{self.class_names[true]} taken for {found}"

    def _labels(self, row: np.ndarray) -> str:
        return ", ".join(self.class_names[i] for i in np.flatnonzero(row)) or "nothing"

    def _check_task(self, method: str, *tasks: str) -> None:
        if self.task not in tasks:
            raise ValueError(
                f"`{method}` needs a report whose task is "
                f"{' or '.join(map(repr, tasks))}. "
                f"This report's task is {self.task!r}."
            )

    def __getstate__(self) -> dict[str, Any]:
        # Data can hardly be copied or pickled, and a report is whole without it.
        return {**self.__dict__, "_inputs": None}
