"""`Numbers`: one number or several for each input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras._validation import check_int
from tlkeras.outputs.base import Output, known
from tlkeras.outputs.labels import by_column
from tlkeras.outputs.losses import LabelLoss, find_loss, is_mean_loss
from tlkeras.outputs.naming import check_count, unfit
from tlkeras.outputs.sampling import target_shares
from tlkeras.outputs.suspicion import Wrong, wrong_targets
from tlkeras.outputs.weighing import Weighing, target_weighing


@dataclass(frozen=True)
class Numbers(Output):
    """One number or several for each input: linear outputs, mean squared error.

    Attributes:
        count: How many numbers.
        names: Their names, where they have some.
        loss: `None`: the mean squared error. Or a Keras loss, its name, or a function
            of targets and outputs. Targets of very different sizes should be scaled
            before.
        class_weight: `None`, or `"balanced"`: all ranges of the numbers count the same
            in total.
        metrics: By default the mean absolute error, `"mae"`.

    The other attributes are those of every output: `hidden`, `dropout` and `weight`;
    see `tl.Classes` for classes.

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
    output_name: ClassVar[str] = "value"

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", check_int("outputs", self.count, 1))
        if self.names is not None:
            names = tuple(map(str, self.names))
            check_count(names, self.count)
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
        targets = values.astype(np.float32)
        return cls(targets.shape[1] if targets.ndim == 2 else 1), targets

    def check(self, labels: np.ndarray, part: str) -> None:
        if labels.size != len(labels) * self.units:
            raise ValueError(
                f"Targets in `{part}` have shape {labels.shape}; the model predicts "
                f"{self.units} number(s) for each. Build it with "
                f"outputs={labels[0].size}."
            )

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        return np.isfinite(known), "finite, NaN where missing"

    def label_text(self, label: Any) -> str:
        return ", ".join(f"{value:.4g}" for value in np.atleast_1d(label))

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
