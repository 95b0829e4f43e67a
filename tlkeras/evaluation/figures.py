"""What a report knows: labels, predictions, and figures computed on demand."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from tlkeras._validation import check_int, check_number
from tlkeras.evaluation.aligned import check_values, named
from tlkeras.evaluation.arguments import (
    check_arrays,
    check_groups,
    check_weights,
    examples_of,
    output_for,
    part_of,
    positions_of,
)
from tlkeras.evaluation.gap import DomainGap
from tlkeras.evaluation.plain import plain
from tlkeras.metrics import calibration
from tlkeras.metrics.costs import CostCurve
from tlkeras.metrics.intervals import estimate_of, shown_interval
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.resampling import CONFIDENCE, Interval
from tlkeras.metrics.slices import SliceTable, slice_table
from tlkeras.metrics.table import ClassTable
from tlkeras.outputs import Output


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
        output: Output | None = None,
        about: Mapping[str, str] | None = None,
        domain_gap: DomainGap | None = None,
    ) -> None:
        names = output.class_names if output and class_names is None else class_names
        has_rows = output is not None and output.has_rows
        labels, outputs = check_arrays(labels, outputs, names, has_rows)
        self.output = output_for(labels, outputs, output, task, class_names, thresholds)
        self.y_true, self.outputs = self.output.read_predictions(labels, outputs)
        self.y_pred = self.output.predictions(self.outputs)
        self.probabilities = self.output.probabilities(self.outputs)
        count = len(labels)
        self.sample_weight = check_weights(sample_weight, count)
        self.slice_values = {
            name: check_values(f"`slices` {name!r}", value, count)
            for name, value in named(slices).items()
        }
        self.groups = check_groups(groups, count)
        self._inputs = examples_of(inputs)
        self.about = dict(about or {})
        self.domain_gap = domain_gap

    def __getattr__(self, name: str) -> float:
        # Asked for what is no attribute; or for one of the class that failed.
        known = name.startswith("_") or hasattr(type(self), name)
        if known or "about" not in self.__dict__:
            raise AttributeError(name)
        if name in self.metrics:
            return self.metrics[name]
        raise AttributeError(
            f"A report has no {name!r}. Its figures are "
            f"{', '.join(map(repr, self.metrics))}, and `losses` are those of each "
            "example."
        )

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__.get("metrics", ())})

    @property
    def task(self) -> str:
        """The task of the output."""
        return self.output.task

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the output; `None` where it has none."""
        return self.output.class_names

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        """Every figure by name; see `metrics` in the modules of `tlkeras.metrics`."""
        return self.output.figures(self.y_true, self.outputs, self.sample_weight)

    @functools.cached_property
    def confusion(self) -> np.ndarray | None:
        """Counts `(classes, classes)`, rows true, columns predicted.

        For labels that are not exclusive `(labels, 2, 2)`, one matrix per label;
        `None` for a regression.
        """
        return self.output.confusion(self.y_true, self.outputs)

    @functools.cached_property
    def per_class(self) -> ClassTable | None:
        """Precision, recall, F1 and support of every class; `None` for a regression."""
        return self.output.per_class(self.y_true, self.outputs)

    @functools.cached_property
    def accuracy(self) -> float | None:
        """Share of examples predicted rightly, or `None` for a regression.

        Where labels are not exclusive, an example counts as right only if every one
        of its labels is.
        """
        figure = self.main_values
        return float(figure.values.mean()) if figure.are_hits else None

    @functools.cached_property
    def main_values(self) -> PerExample:
        """The main figure, its value for each example, and whether more is better.

        `"accuracy"`, of 0 and 1; or `"mae"`, of absolute errors (a mean over targets).
        """
        return self.output.main_values(self.y_true, self.y_pred)

    @functools.cached_property
    def losses(self) -> np.ndarray:
        """The loss of each example: log loss in nats, or the squared error."""
        return self.output.losses(self.y_true, self.outputs)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Returns the confidence interval of the accuracy, or of the mean error.

        Of the accuracy it is Wilson's; with `groups` an exact one, of as many
        independent examples as these are worth. Of a regression's MAE it is Student's,
        over groups where there are some, its upper end on a logarithmic scale: among a
        few errors the largest are often missing. It holds for few examples, and is wide
        then.

        Args:
            confidence: In (0, 1).

        Returns:
            `(low, high)`; NaN for the error of a single example or group.

        Example:
        >>> low, high = tl.Report([0, 1] * 8, np.eye(2)[[0, 1] * 8]).interval()
        >>> round(low, 3), high
        (0.806, 1.0)

        Reference:
            Wilson, Probable Inference (1927); Korn and Graubard, Confidence Intervals
            for Proportions with Small Expected Number of Positive Counts Estimated from
            Survey Data (1998).
        """
        check_number("confidence", confidence, above=0, below=1)
        figure = self.main_values
        estimate = estimate_of(figure.values, self.groups, figure.are_hits)
        return shown_interval(estimate, confidence)

    def reliability(self, bins: int = calibration.BINS) -> calibration.Reliability:
        """Compares confidence with accuracy, bin by bin.

        Args:
            bins: Number of bins of equal width. The expected calibration error
                depends on it; `metrics["ece"]` is that of 15, as in the paper.

        Returns:
            A `Reliability`, with arrays by bin and `.ece`.

        Raises:
            UnsupportedError: If the task is a regression.

        Example:
        >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.1, 0.9]])
        >>> report.reliability(bins=10).count.tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 2, 0]

        Reference:
            Guo et al., On Calibration of Modern Neural Networks (2017).
        """
        check_int("bins", bins, 1)
        return self.output.reliability(self.y_true, self.outputs, bins)

    def temperature(self) -> float:
        """Returns the temperature that calibrates the probabilities best.

        The logits divided by it have the least log loss on these examples. It is above
        1 for a model that is too confident, as most are. `tl.calibrate` makes it part
        of a model.

        Returns:
            The temperature; 1 where nothing is gained, or nothing is wrong.

        Raises:
            UnsupportedError: If the task is a regression.

        Example:
        >>> sure = np.array([[0.99, 0.01]] * 10)
        >>> round(tl.Report([0] * 8 + [1] * 2, sure).temperature(), 2)
        3.31

        Reference:
            Guo et al., On Calibration of Modern Neural Networks (2017).
        """
        return self.output.temperature(self.y_true, self.outputs)

    @functools.cached_property
    def thresholds(self) -> np.ndarray:
        """The threshold of the best F1 for each label, on these examples.

        Find them on validation data and have the model keep them (`model.thresholds =
        report.thresholds`), or pass them to `evaluate`; on the data that they were
        found on, they flatter.
        """
        return self.output.best_thresholds(self.y_true, self.outputs)

    def cost_curve(
        self,
        *,
        false_negative: Any,
        false_positive: Any = 1.0,
        class_name: str | None = None,
    ) -> CostCurve:
        """Says what it costs to say a class from each probability on.

        Where one mistake costs more than the other, 0.5 is the wrong probability to
        decide at. Find the threshold on validation data, and ask the report of the test
        part what it costs there: `.at(threshold)`. Where validation data have only a
        handful of the class, `.calibrated` scatters less than `.threshold`, once
        probabilities are calibrated.

        Args:
            false_negative: What it costs not to say the class of an example that is of
                it, such as a fraud that is missed: a number, or one for each example,
                such as its amount.
            false_positive: What it costs to say it of another example, as well.
            class_name: The class. May be left out where there are two, of which it is
                the second one, or one label.

        Returns:
            A `CostCurve`, with `.threshold`, `.cost` and the curve. Where examples have
            weights, its means are weighted.

        Raises:
            UnsupportedError: If the output has no probabilities.
            ValueError: If a cost is negative or of another form, or it is not clear
                which class is meant.

        Example:
        >>> rows = [[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.2, 0.8]]
        >>> report = tl.Report([0, 0, 1, 1], rows, class_names=["fine", "fraud"])
        >>> curve = report.cost_curve(false_negative=10)
        >>> round(curve.threshold, 3), curve.cost, curve.at(0.5)
        (0.15, 0.25, 2.5)

        Reference:
            Elkan, The Foundations of Cost-Sensitive Learning (2001).
        """
        return self.output.cost_curve(
            *(self.y_true, self.outputs, false_negative, false_positive),
            class_name,
            self.sample_weight,
        )

    @functools.cached_property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """The area under each class's ROC curve, and its average precision."""
        return self.output.areas(self.y_true, self.outputs)

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
            UnsupportedError: If the classes are not exclusive, or there are none.

        Example:
        >>> names = ["cat", "dog"]
        >>> report = tl.Report([0, 0, 1], np.eye(2)[[0, 1, 1]], class_names=names)
        >>> report.most_confused()
        [{'true': 'cat', 'predicted': 'dog', 'count': 1, 'share': 0.5}]
        """
        check_int("n", n, 1)
        return self.output.most_confused(self.confusion, n)

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
            self.outputs[positions],
            output=self.output,
            sample_weight=part_of(self.sample_weight, positions),
            slices={n: values[positions] for n, values in self.slice_values.items()},
            groups=part_of(self.groups, positions),
            inputs=self._inputs and self._inputs.select(positions),
            about=self.about,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values that `json.dumps` takes.

        Returns:
            Dictionary with `"about"`, `"task"`, `"examples"`, `"class_names"`,
            `"metrics"`, `"interval"` (95%, of accuracy or MAE), `"confusion"`,
            `"per_class"`, `"slices"` and `"domain_gap"`. A figure that is not a number
            is `None`. Labels and predictions of the single examples are left out.

        Example:
        >>> tl.Report([0.5, 2.0], [0.5, 1.0]).to_dict()["metrics"]["mae"]
        0.5
        """
        return plain(
            {
                "about": self.about,
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
                "domain_gap": self.domain_gap and self.domain_gap.to_dict(),
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
        'dog taken for cat (cat 0.70, dog 0.30)'
        """
        each = (self.y_true, self.y_pred, self.outputs)
        return self.output.verdict(*(values[position] for values in each))

    def __getstate__(self) -> dict[str, Any]:
        # Data, and losses of the user's own, can hardly be copied or pickled, and a
        # report is whole without them.
        output = self.output.but(loss=None, metrics=None)
        return {**self.__dict__, "_inputs": None, "output": output}
