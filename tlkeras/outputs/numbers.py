"""`Numbers`: one number or several for each input."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras._validation import check_int
from tlkeras.findings import Finding
from tlkeras.metrics import regression
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.table import number
from tlkeras.outputs.base import Output
from tlkeras.outputs.features import is_float
from tlkeras.outputs.label_findings import constant_targets
from tlkeras.outputs.labels import by_column
from tlkeras.outputs.losses import LabelLoss, find_loss, is_mean_loss
from tlkeras.outputs.missing import are_labelled, as_rows, known
from tlkeras.outputs.moments import Moments, moments_of
from tlkeras.outputs.naming import check_count, names_in_order, numbered, unfit
from tlkeras.outputs.sampling import target_shares
from tlkeras.outputs.separability import separability_of_numbers
from tlkeras.outputs.shown import Plot
from tlkeras.outputs.suspicion import Wrong, wrong_targets
from tlkeras.outputs.weighing import Weighing, target_weighing


@dataclass(frozen=True)
class Numbers(Output):
    """One number or several for each input: linear outputs, mean squared error.

    Attributes:
        count: How many numbers.
        names: Their names, where they have some, else `None`.
        hidden: Units of relu layers of this head alone: `(64,)`; `()` for none.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: `None`: the mean squared error. Or a Keras loss, its name, or a function
            of targets and outputs. Targets of very different sizes should be scaled
            before.
        weight: How much the loss counts in the sum over all heads, at least 0.
        class_weight: `None`, or `"balanced"`: all ranges of the numbers count the same
            in total.
        metrics: Keras metrics or their names; `None`: the mean absolute error.

    See `tl.Classes` for classes.

    Raises:
        ValueError: If an attribute is not one of the above.

    Example:

    >>> tl.Numbers(2, loss="huber", weight=0.1).units
    2
    """

    count: int = 1
    names: Sequence[str] | None = None

    task: ClassVar[str] = "regression"
    title: ClassVar[str] = "regression"
    noun: ClassVar[str] = "number"
    nouns: ClassVar[str] = "numbers"
    output_name: ClassVar[str] = "value"
    goal: ClassVar[str] = "regressor"
    first_figures: ClassVar[tuple[str, ...]] = ("mae", "rmse", "r2", "loss")
    headline_figures: ClassVar[tuple[str, ...]] = first_figures

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", check_int("outputs", self.count, 1))
        if self.names is not None:
            names = names_in_order("names", self.names)
            if len(names) != self.count:
                raise ValueError(
                    f"`names` must be a sequence of {self.count} names, one for each "
                    f"number. Received: names={self.names!r}."
                )
            object.__setattr__(self, "names", names)
        super().__post_init__()

    @property
    def units(self) -> int:
        return self.count

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self.names

    def get_config(self) -> dict[str, Any]:
        names = None if self.names is None else list(self.names)
        return {**super().get_config(), "count": self.count, "names": names}

    def takes(self, other: Output) -> bool:
        names = other.class_names
        # Classes without names are the whole numbers that the data hold.
        are_values = other.are_numbers and names == numbered(len(names))
        return super().takes(other) or are_values

    # Labels.

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Numbers", np.ndarray]:
        if values.dtype.kind == "U":
            raise ValueError("Strings in `y` cannot be regression targets.")
        if names is not None:
            raise ValueError(
                f"`y` of dtype {values.dtype} was read as regression targets, which "
                "have no `class_names`. For classes pass whole numbers, "
                "`y.astype('int32')`, or strings; for targets leave `class_names` out."
            )
        targets = as_targets(values)
        return cls(targets.shape[1] if targets.ndim == 2 else 1), targets

    def check(self, labels: np.ndarray, part: str) -> None:
        if labels.size != len(labels) * self.units:
            raise ValueError(
                f"Targets in `{part}` have shape {labels.shape}; the model predicts "
                f"{self.units} number(s) for each. Build it with "
                f"outputs={labels[0].size}."
            )

    def doubt(self, labels: np.ndarray, part: str, read: bool = True) -> str | None:
        return None if read else _too_close(labels, f"`{part}`")

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        return np.isfinite(known), "finite, NaN where missing"

    def label_text(self, label: Any) -> str:
        return ", ".join(f"{value:.4g}" for value in np.atleast_1d(label))

    # Plans.

    def separability(
        self, features: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> float | None:
        return separability_of_numbers(features, labels, seed)

    # Data.

    @classmethod
    def of_feature(
        cls, feature: Any, labels: Sequence[np.ndarray]
    ) -> tuple["Numbers", np.ndarray] | None:
        if not is_float(feature):
            return None
        return cls.of_labels(np.array(labels, np.float32), None)

    def are_hidden(self, labels: np.ndarray) -> bool:
        # GLUE marks unknown targets by -1.
        return bool(np.all(labels == -1))

    def label_table(
        self, labels: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        header = ("part", "examples", "mean", "deviation", "least", "greatest")
        rows = []
        for part, targets in labels.items():
            values = targets[~np.isnan(targets)]
            if len(values):
                moments = values.mean(), values.std(), values.min(), values.max()
                count = str(np.sum(are_labelled(targets)))
                rows.append((part, count, *(f"{value:.4g}" for value in moments)))
        return header, tuple(rows)

    def _impossible(self, labels: np.ndarray, gaps: bool) -> tuple[np.ndarray, str]:
        rows = as_rows(labels)
        fits = np.isfinite(rows) | (gaps & np.isnan(rows))
        return ~fits.all(axis=1), "a finite number"

    def _findings(self, labels: Mapping[str, np.ndarray]) -> Iterator[Finding]:
        return constant_targets(labels)

    # Training.

    def make_loss(self) -> Any:
        return find_loss("mean_squared_error" if self.loss is None else self.loss)

    def known_loss(self) -> Any:
        loss = self.make_loss()
        # The mean over what is known of an example needs a value for each number.
        return self._known(LabelLoss(loss) if is_mean_loss(loss) else loss)

    def default_metrics(self) -> list[Any]:
        return [keras.metrics.MeanAbsoluteError(name="mae")]

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        return target_weighing(class_weight, labels)

    def weighing_of_known(
        self, class_weight: Any, rows: np.ndarray | None
    ) -> Weighing | None:
        if rows is None or class_weight is None:
            return self.weighing(class_weight, None)
        rules = [target_weighing(class_weight, known(column)) for column in rows.T]
        return Weighing(by_column(rules))

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return target_shares(labels)

    def moments(self, labels: np.ndarray) -> Moments | None:
        return moments_of(as_rows(labels))

    def _check_class_weight(self) -> None:
        super()._check_class_weight()
        if isinstance(self.class_weight, Mapping):
            raise ValueError(
                "`class_weight` of numbers can be 'balanced' alone: they have no "
                f"classes. Received: class_weight={self.class_weight!r}."
            )

    # Predictions.

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.names is not None:
            check_count(self.names, outputs.shape[1])
        labels = labels.reshape(len(labels), -1).astype("float64")
        if labels.shape != outputs.shape:
            raise unfit(labels, outputs, f"{outputs.shape[1]} columns of numbers")
        if not np.isfinite(labels).all():
            raise ValueError("Labels must be finite. Received NaN or infinite labels.")
        if outputs.shape[1] == 1:
            return labels.ravel(), outputs.ravel()
        return labels, outputs

    def answers(self, outputs: np.ndarray) -> list[float | tuple[float, ...]]:
        rows = np.asarray(outputs, "float32").tolist()
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        return {"value": outputs}

    # Suspects.

    def wrong_labels(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> list[Wrong]:
        return wrong_targets(features, labels, groups)

    # The report.

    def figures(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        return regression.metrics(y_true, outputs, sample_weight)

    def main_values(self, y_true: np.ndarray, y_pred: np.ndarray) -> PerExample:
        errors = np.abs(y_true - y_pred).reshape(len(y_true), -1)
        return PerExample("mae", errors.mean(axis=1), False)

    def losses(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return ((y_true - outputs) ** 2).reshape(len(y_true), -1).mean(axis=1)

    def verdict(self, true: Any, predicted: Any, outputs: np.ndarray) -> str:
        pair = (", ".join(map(number, np.atleast_1d(v))) for v in (true, predicted))
        return " predicted as ".join(pair)

    def warnings(self, report: Any) -> Iterator[str]:
        shares = regression.explained(report.y_true, report.y_pred)
        names = self.names or numbered(len(shares))
        worse = [
            (f"{name}: " if len(shares) > 1 else "") + f"R2 {number(share)}"
            for name, share in zip(names, shares, strict=True)
            if share < 0
        ]
        if worse:
            yield (
                "Worse than always answering the mean of these labels "
                f"({', '.join(worse)})."
            )

    def plot_residuals(self, report: Any, ax: Any = None) -> Any:
        from tlkeras.plots import plot_residuals

        return plot_residuals(report.y_true, report.y_pred, ax)

    def plots(self, report: Any) -> Iterator[Plot]:
        errors = report.y_true - report.y_pred
        description = (
            "Residuals (true minus predicted) over predicted values. They lie between "
            f"{number(errors.min())} and {number(errors.max())}, with a mean of "
            f"{number(errors.mean())}."
        )
        size, draw = (5.2, 4.0), report.plot_residuals
        yield Plot("residuals", "Residuals", description, size, draw)

    # The card.

    def does(self, noun: str, names: str) -> str:
        given = "a number" if self.count == 1 else f"{self.count} numbers"
        return f"gives each {noun} {given}{f' ({names})' if names else ''}"

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        yield "The model gives numbers, not probabilities."


def as_targets(values: np.ndarray) -> np.ndarray:
    """Returns numbers as float32.

    Warns:
        UserWarning: If they differ, and their float32 does not.
    """
    doubt = _too_close(values, "the data")
    if doubt is not None:
        warnings.warn(doubt, UserWarning, stacklevel=2)
    return values.astype(np.float32)


def _too_close(values: np.ndarray, about: str) -> str | None:
    """Returns a sentence where float32 does not tell targets apart that differ."""
    for column in as_rows(np.asarray(values, "float64")).T:
        known = column[np.isfinite(column)]
        if not len(known) or not np.ptp(known):
            continue
        step = float(np.spacing(np.float32(np.abs(known).max())))
        if np.ptp(known) < 10 * step:
            return (
                f"Targets in {about} are from {known.min():.17g} to "
                f"{known.max():.17g}; models compute in float32, which has steps of "
                f"{step:g} there. Subtract what they have in common: `y - y.mean()`."
            )
    return None
