"""`Probabilities`: what outputs have in common that are probabilities of names."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tlkeras._validation import few, unknown_name
from tlkeras.metrics import calibration, costs, ranking
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.ranking import Curve
from tlkeras.metrics.table import number
from tlkeras.outputs.base import Output
from tlkeras.outputs.missing import are_labelled
from tlkeras.outputs.shown import Plot

_MOST_CURVES = 6
_SQUARE = (4.8, 4.2)


@dataclass(frozen=True, kw_only=True)
class Probabilities(Output):
    """An output that gives a probability to each of its `names`.

    Attributes:
        logits: Whether what a model gives are logits, of which the probabilities are
            softmax or sigmoid. `None`: their values tell. Models of tlkeras give
            probabilities.
    """

    logits: bool | None = field(default=None, repr=False, compare=False)

    first_figures: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "balanced_accuracy",
        "loss",
        "ece",
        "roc_auc",
    )
    headline_figures: ClassVar[tuple[str, ...]] = ("accuracy", "loss")
    gives_probabilities: ClassVar[bool] = True
    score_name: ClassVar[str] = "accuracy"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.names

    # Plans.

    @property
    def amount(self) -> str:
        return f"{len(self.names)} classes"

    # Training.

    def default_metrics(self) -> list[Any]:
        return ["accuracy"]

    # Data.

    def label_table(
        self, labels: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        counts = np.stack([self.counts(rows) for rows in labels.values()], axis=1)
        sizes = np.array([np.sum(are_labelled(rows)) for rows in labels.values()])
        named = [*zip(self.class_names, counts, strict=True), ("(examples)", sizes)]
        rows = tuple((name, *map(str, row), str(row.sum())) for name, row in named)
        return ("class", *labels, "total"), rows

    # The report.

    def heading(self, examples: int) -> str:
        return f"{super().heading(examples)}, {len(self.class_names)} {self.nouns}"

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        return outputs

    def main_values(self, y_true: np.ndarray, y_pred: np.ndarray) -> PerExample:
        right = (y_true == y_pred).reshape(len(y_true), -1).all(axis=1)
        return PerExample("accuracy", right.astype("float64"), True, are_hits=True)

    def losses(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return calibration.losses(y_true, outputs)

    def areas(
        self, y_true: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return ranking.areas(y_true, outputs)

    def reliability(
        self, y_true: np.ndarray, outputs: np.ndarray, bins: int
    ) -> calibration.Reliability:
        return calibration.reliability(y_true, outputs, bins)

    def temperature(self, y_true: np.ndarray, outputs: np.ndarray) -> float:
        return calibration.fit_temperature(y_true, outputs)

    def cost_curve(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        false_negative: Any,
        false_positive: Any,
        class_name: str | None,
        sample_weight: np.ndarray | None = None,
    ) -> costs.CostCurve:
        names = list(self.class_names)
        said = self._told_apart(np.arange(len(names)))
        if class_name is None and len(said) > 1:
            raise ValueError(
                f"`class_name` must say which of {few(names)} costs are of: a "
                "threshold is for one of them against all others."
            )
        class_name = names[said[0]] if class_name is None else class_name
        if class_name not in names:
            raise unknown_name("class", class_name, names)
        place = names.index(class_name)
        truth = ranking.as_rows(y_true, len(names))[:, place]
        scores = self.probabilities(outputs)[:, place]
        return costs.cost_curve(
            truth, scores, false_negative, false_positive, class_name, sample_weight
        )

    def plot_roc(self, report: Any, ax: Any = None) -> Any:
        from tlkeras.plots import plot_roc

        return plot_roc(self._curves(report, report.areas[0], ranking.roc_curve), ax)

    def plot_precision_recall(self, report: Any, ax: Any = None) -> Any:
        from tlkeras.plots import plot_precision_recall

        curve = ranking.precision_recall_curve
        return plot_precision_recall(self._curves(report, report.areas[1], curve), ax)

    def plot_reliability(
        self, report: Any, ax: Any = None, bins: int = calibration.BINS
    ) -> Any:
        from tlkeras.plots import plot_reliability

        found = report.reliability(bins)
        return plot_reliability(
            found.edges, found.confidence, found.accuracy, found.count, found.ece, ax
        )

    def plots(self, report: Any) -> Iterator[Plot]:
        curves = (
            ("roc", "ROC curves", "ROC curves, mean area", "roc_auc", report.plot_roc),
            (
                "precision_recall",
                "Precision and recall",
                "Precision over recall, mean average precision",
                "mean_average_precision",
                report.plot_precision_recall,
            ),
        )
        for name, caption, words, figure, draw in curves:
            value = report.metrics[figure]
            if np.isfinite(value):
                yield Plot(name, caption, f"{words} {number(value)}.", _SQUARE, draw)
        description = (
            "Share of right predictions by confidence. Expected calibration error "
            f"{number(report.metrics['ece'])}."
        )
        draw = report.plot_reliability
        yield Plot("reliability", "Reliability", description, _SQUARE, draw)

    # Explanations.

    def explained(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.argmax(axis=1)

    def _curves(
        self, report: Any, areas: np.ndarray, curve: Callable[..., Curve]
    ) -> dict[str, Curve]:
        """Returns curves by name, of those with the least areas."""
        drawn = np.flatnonzero(np.isfinite(areas))
        if not len(drawn):
            raise ValueError(
                "No curve can be drawn: no class has examples beside those of others."
            )
        drawn = self._told_apart(drawn)
        worst = np.sort(drawn[np.argsort(areas[drawn], kind="stable")][:_MOST_CURVES])
        truths = ranking.as_rows(report.y_true, len(self.class_names))
        return {
            self.class_names[i]: curve(truths[:, i], report.probabilities[:, i])
            for i in worst
        }

    def _told_apart(self, numbers: np.ndarray) -> np.ndarray:
        """Returns those of some names' numbers whose curves differ."""
        return numbers
