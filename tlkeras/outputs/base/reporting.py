"""`Reporting`: the figures, pictures and words of a report, and calibration."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from tlkeras.metrics.calibration import Reliability
from tlkeras.metrics.costs import CostCurve
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.table import ClassTable
from tlkeras.outputs.base.kind import Kind
from tlkeras.outputs.shown import Plot, Table


class Reporting(Kind):
    """What an output knows of how well it does.

    `y_true` and `outputs` are what `read_predictions` returned, `y_pred` what
    `predictions` did; a `report` is one of this output.
    """

    # The figures that are told first, and those that fit on a line.
    first_figures: ClassVar[tuple[str, ...]] = ()
    headline_figures: ClassVar[tuple[str, ...]] = ()

    def heading(self, examples: int) -> str:
        """Returns what was evaluated in words: `"regression of 90 examples"`.

        Args:
            examples: How many there were.
        """
        return f"{self.title} of {examples} example{'s' * (examples != 1)}"

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Returns predictions, of the shape of `y_true`.

        Args:
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        return outputs

    def probabilities(self, outputs: np.ndarray) -> np.ndarray | None:
        """Returns probabilities `(n, names)`; `None` where there are none.

        Args:
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        return None

    def figures(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Returns every figure by name; `sample_weight` weighs the loss alone.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
            sample_weight: Weights `(n,)`, or `None` for 1 each.
        """
        raise self.unsupported("tl.evaluate", "figures")

    def main_values(self, y_true: np.ndarray, y_pred: np.ndarray) -> PerExample:
        """Returns the figure that stands for all, with its value for each example.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            y_pred: What was predicted, as `predictions` returned it.
        """
        raise self.unsupported("tl.evaluate", "main_values")

    def losses(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Returns the loss of each example, of shape `(n,)`.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        raise self.unsupported("tl.evaluate", "losses")

    def verdict(self, true: Any, predicted: Any, outputs: np.ndarray) -> str:
        """Returns in words what one example is, and what it was taken for.

        Args:
            true: Its entry in `y_true`.
            predicted: Its entry in `y_pred`.
            outputs: Its outputs, `(units,)`.
        """
        raise self.unsupported("Report.verdict")

    def confusion(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray | None:
        """Returns counts of what was taken for what; `None` where there are none.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        return None

    def per_class(self, y_true: np.ndarray, outputs: np.ndarray) -> ClassTable | None:
        """Returns figures of each name; `None` where there are none.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        return None

    def most_confused(self, confusion: np.ndarray, n: int) -> list[dict[str, Any]]:
        """Returns the pairs of names confused most often, as `Report` does.

        Args:
            confusion: What `confusion` returned.
            n: How many pairs at most.
        """
        raise self.unsupported("Report.most_confused")

    def areas(
        self, y_true: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns areas under ROC and precision-recall curves, each `(names,)`.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        raise self.unsupported("Report.areas")

    def reliability(
        self, y_true: np.ndarray, outputs: np.ndarray, bins: int
    ) -> Reliability:
        """Compares confidence with what it is worth.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
            bins: How many bins of equal width.
        """
        raise self.unsupported("Report.reliability")

    def best_thresholds(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Returns the threshold of the best F1 for each label.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        raise self.unsupported("Report.thresholds", "best_thresholds")

    def cost_curve(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        false_negative: Any,
        false_positive: Any,
        class_name: str | None,
        sample_weight: np.ndarray | None = None,
    ) -> CostCurve:
        """Returns what it costs to say a name from each probability on.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
            false_negative: What it costs not to say the name where it is right: a
                number, or one for each example.
            false_positive: What it costs to say it where it is wrong, as well.
            class_name: The name; `None` where there is one to be said or not.
            sample_weight: Of the examples in the means, or `None`.
        """
        raise self.unsupported("Report.cost_curve", "cost_curve")

    def plot_confusion(
        self, report: Any, ax: Any = None, normalize: bool = False
    ) -> Any:
        """Draws what was taken for what; returns the axes, as all `plot_` do.

        Args:
            report: A report of this output.
            ax: A matplotlib axes to draw on; made if `None`.
            normalize: Whether to draw shares of the true class, not counts.
        """
        raise self.unsupported("Report.plot_confusion")

    def plot_residuals(self, report: Any, ax: Any = None) -> Any:
        """Draws errors over predictions.

        Args:
            report: A report of this output.
            ax: A matplotlib axes to draw on; made if `None`.
        """
        raise self.unsupported("Report.plot_residuals")

    def plot_roc(self, report: Any, ax: Any = None) -> Any:
        """Draws ROC curves, each name against the rest.

        Args:
            report: A report of this output.
            ax: A matplotlib axes to draw on; made if `None`.
        """
        raise self.unsupported("Report.plot_roc")

    def plot_precision_recall(self, report: Any, ax: Any = None) -> Any:
        """Draws precision-recall curves, each name against the rest.

        Args:
            report: A report of this output.
            ax: A matplotlib axes to draw on; made if `None`.
        """
        raise self.unsupported("Report.plot_precision_recall")

    def plot_reliability(self, report: Any, ax: Any = None, bins: int = 15) -> Any:
        """Draws how often predictions of each confidence are right.

        Args:
            report: A report of this output.
            ax: A matplotlib axes to draw on; made if `None`.
            bins: How many bins of equal width.
        """
        raise self.unsupported("Report.plot_reliability")

    def plots(self, report: Any) -> Iterable[Plot]:
        """Returns the pictures that a saved report has.

        Args:
            report: A report of this output.
        """
        return ()

    def tables(self, report: Any) -> Iterable[Table]:
        """Returns the tables that a report has besides figures, names and slices.

        Args:
            report: A report of this output.
        """
        return ()

    def warnings(self, report: Any) -> Iterable[str]:
        """Returns what is wrong with a result, in sentences.

        Args:
            report: A report of this output.
        """
        return ()

    def sentences(self, report: Any) -> Iterable[str]:
        """Returns what a printed report says besides these.

        Args:
            report: A report of this output.
        """
        return ()

    # Calibration.

    def calibrated(self, y_true: np.ndarray, outputs: np.ndarray) -> Any:
        """Returns the output that says how sure it is, and what `tl.calibrate` returns.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        raise self.unsupported("tl.calibrate", "calibrated")

    @property
    def calibrates_itself(self) -> bool:
        """Whether `tl.calibrate` finds something else than a temperature for it."""
        return type(self).calibrated is not Reporting.calibrated

    def as_trained(self) -> Self:
        """Returns the output without what was found out of other weights."""
        return self

    def temperature(self, y_true: np.ndarray, outputs: np.ndarray) -> float:
        """Returns the number that logits are divided by for the least log loss.

        Args:
            y_true: What is right, as `read_predictions` returned it.
            outputs: Float32 `(n, units)`, as `read_predictions` returned them.
        """
        raise self.unsupported("Report.temperature")

    @property
    def calibratable(self) -> bool:
        """Whether `tl.calibrate` finds a temperature for it."""
        return type(self).temperature is not Reporting.temperature

    def after_scaling(self, temperature: float) -> Self:
        """Returns the output that decides as this did before logits were divided.

        Args:
            temperature: What they were divided by.
        """
        return self
