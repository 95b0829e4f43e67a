"""`Classes`: one of several classes for each input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from tlkeras._validation import unknown_name
from tlkeras.outputs.base import Output, Prediction
from tlkeras.outputs.divergence import of_classes, of_labels
from tlkeras.outputs.losses import classifier_loss
from tlkeras.outputs.naming import (
    are_zero_or_one,
    check_count,
    name_classes,
    numbered,
    sum_to_one,
    unfit,
    unit_values,
)
from tlkeras.outputs.sampling import are_numbers, class_shares
from tlkeras.outputs.suspicion import Wrong, wrong_classes
from tlkeras.outputs.weighing import Weighing, class_weighing


@dataclass(frozen=True)
class Classes(Output):
    """One of several classes for each input: softmax, cross-entropy, class numbers.

    Attributes:
        names: The classes' names in the order of the labels, or their number.
        label_smoothing: Share of each label spread over all classes, in [0, 1).
        single_unit: Whether one sigmoid output tells two classes apart.
        loss: `None`: cross-entropy. `"focal"`: focal loss (gamma 2), which turns from
            examples that are already right to those that are not, such as those of
            rare classes. Or a Keras loss, its name, or a function of labels and
            probabilities. Losses of Keras take class numbers here too.
        metrics: By default accuracy.

    The other attributes are those of every output: `hidden`, `dropout`, `weight` and
    `class_weight`; see `tl.Labels` for several labels at once, `tl.Numbers` for
    numbers.

    Raises:
        ValueError: If an attribute is not one of the above.

    Example:

    >>> tl.Classes(["ant", "bee"], weight=0.5).class_names
    ('ant', 'bee')

    Reference:
        Szegedy et al., Rethinking the Inception Architecture (2016), section 7: label
        smoothing; Lin et al., Focal Loss for Dense Object Detection (2017).
    """

    names: Sequence[str] | int
    label_smoothing: float = 0.0
    single_unit: bool = False

    task: ClassVar[str] = "classification"
    title: ClassVar[str] = "classification"
    noun: ClassVar[str] = "class"
    activation: ClassVar[str | None] = "softmax"
    accuracy: ClassVar[Any] = keras.metrics.SparseCategoricalAccuracy
    are_numbers: ClassVar[bool] = True
    output_name: ClassVar[str] = "probabilities"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", name_classes(self.names, 2))
        super().__post_init__()

    @property
    def units(self) -> int:
        return 1 if self.single_unit else len(self.names)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.names

    @property
    def columns(self) -> int:
        return 1

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "names": list(self.names),
            "single_unit": self.single_unit,
        }

    # Labels.

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Classes", np.ndarray]:
        if values.ndim == 2:
            numbers, names = _numbers_of_rows(values, names)
        elif values.dtype.kind == "U":
            numbers, names = _numbers_of_names(values, names)
        elif values.dtype.kind == "f":
            raise ValueError(
                f"With task='classification', `y` must hold whole numbers or strings. "
                f"Received: dtype {values.dtype}. If these are class ids, pass "
                "`y.astype('int32')`."
            )
        else:
            numbers, names = _checked_numbers(values, names)
        check_several(numbers, names)
        return cls(names), numbers

    def check(self, labels: np.ndarray, part: str) -> None:
        units = len(self.names)
        if labels.ndim > 1 and labels.shape[-1] != 1:
            if labels.shape[-1] != units:
                raise ValueError(
                    f"Labels in `{part}` have shape {labels.shape}; the model has "
                    f"{units} classes and takes labels of shape (n, {units})."
                )
            return
        low, high = labels.min(), labels.max()
        if low < 0 or high >= units or np.any(labels != labels.astype("int64")):
            raise ValueError(
                f"Labels in `{part}` must be whole numbers from 0 to {units - 1}, for "
                f"the model's {units} classes. Received labels from {low} to {high} "
                f"({labels.dtype}). Build the model with `data.class_names`."
            )

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        last = len(self.names) - 1
        fits = (known >= -1) & (known <= last) & (known == np.round(known))
        return fits, f"whole numbers from 0 to {last}, -1 where missing"

    def label_text(self, label: Any) -> str:
        return self.names[int(np.argmax(label) if np.ndim(label) else label)]

    # Labels, counted.

    def numbers(self, labels: np.ndarray) -> np.ndarray:
        """Returns class numbers `(n,)` of numbers or rows; -1 where missing."""
        labels = np.asarray(labels)
        if not are_numbers(labels.shape, len(self.names)):
            return labels.argmax(axis=1)
        flat = labels.reshape(-1)
        known = np.isfinite(flat) & (flat >= 0)
        return np.where(known, flat, -1).astype("int64")

    def strata(self, labels: np.ndarray) -> np.ndarray:
        return self.numbers(labels)

    def counts(self, labels: np.ndarray) -> np.ndarray:
        numbers = self.numbers(labels)
        return np.bincount(numbers[numbers >= 0], minlength=len(self.names))

    # Training.

    def make_loss(self) -> Any:
        return classifier_loss(
            self.loss, multi_label=False, label_smoothing=self.label_smoothing
        )

    def default_metrics(self) -> list[Any]:
        return ["accuracy"]

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        return class_weighing(class_weight, labels, self.names)

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return class_shares(labels, len(self.names))

    def soften(self, labels: Any) -> Any:
        import tensorflow as tf

        labels, count = tf.convert_to_tensor(labels), len(self.names)
        if are_numbers(labels.shape, count):
            return tf.one_hot(tf.cast(tf.reshape(labels, [-1]), "int32"), count)
        if labels.shape.rank == 2 and labels.shape[1] == count:
            return tf.cast(labels, "float32")
        raise ValueError(
            f"Mixing labels needs class numbers, or rows of {count}. Received: labels "
            f"of shape {labels.shape}."
        )

    # Predictions.

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        probabilities = _probabilities(outputs)
        classes = probabilities.shape[1]
        check_count(self.names, classes)
        if labels.reshape(len(labels), -1).shape[1] == 1:
            return _class_numbers(labels.ravel(), classes), probabilities
        if labels.shape[1] != classes:
            raise unfit(labels, outputs, f"one column, or {classes} for one-hot rows")
        if not are_zero_or_one(labels) or np.any(labels.sum(axis=1) != 1):
            raise ValueError(
                "Labels with a column per class must be one-hot: a single 1 in each "
                "row. For labels that are not exclusive pass `task='multi_label'`."
            )
        return labels.argmax(axis=1), probabilities

    def answers(self, outputs: np.ndarray) -> list[Prediction]:
        return [self._prediction(row) for row in np.asarray(outputs, "float32")]

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        import tensorflow as tf

        names = tf.constant(list(self.names))
        return {
            "label": tf.gather(names, tf.argmax(outputs, axis=-1)),
            "probability": tf.reduce_max(outputs, axis=-1),
            "probabilities": outputs,
        }

    def same_answers(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first.argmax(axis=-1) == second.argmax(axis=-1)

    # Explanations.

    gives_probabilities: ClassVar[bool] = True

    @property
    def unit_names(self) -> tuple[str, ...]:
        return self.names[1:] if self.single_unit else self.names

    def explained(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.argmax(axis=1)

    # Distillation.

    score_name: ClassVar[str] = "accuracy"

    def soft_loss(self, temperature: float) -> Callable[[Any, Any], Any]:
        if self.single_unit:
            return of_labels(temperature)
        return of_classes(temperature)

    def score(self, labels: Any, outputs: Any) -> Any:
        if self.single_unit:
            return keras.metrics.binary_accuracy(ops.reshape(labels, (-1, 1)), outputs)
        if len(labels.shape) == 2:
            labels = ops.argmax(labels, axis=-1)
        right = ops.cast(ops.argmax(outputs, -1), "int32")
        return ops.equal(ops.cast(labels, "int32"), right)

    # Suspects.

    def wrong_labels(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> list[Wrong]:
        return wrong_classes(features, labels, groups, self.names)

    def _prediction(self, row: np.ndarray) -> Prediction:
        named = dict(zip(self.names, map(float, row), strict=True))
        label = self.names[int(row.argmax())]
        return Prediction(label, named[label], named)


def check_several(numbers: np.ndarray, names: Sequence[str]) -> None:
    """Raises `ValueError` where the examples are not of at least two classes."""
    present = np.unique(numbers)
    if len(present) < 2:
        only = ", ".join(repr(names[i]) for i in present)
        raise ValueError(
            "A classifier needs examples of at least two classes. Received: "
            f"{len(numbers)} examples of {only or 'none'}."
        )


def _numbers_of_rows(
    values: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    names = check_rows(values, names, "classification")
    off = values.sum(axis=1) != 1
    if off.any():
        raise ValueError(
            "With task='classification', each row of a 2-D `y` must have exactly one "
            f"1. {off.sum()} of {len(off)} rows have not, first at index "
            f"{int(np.argmax(off))}. If labels are not exclusive, pass "
            "task='multi_label'."
        )
    return values.argmax(axis=1).astype(np.int32), names


def check_rows(
    values: np.ndarray, names: tuple[str, ...] | None, task: str
) -> tuple[str, ...]:
    """Returns the names of columns of 0 and 1, or raises `ValueError`."""
    if not are_zero_or_one(values):
        raise ValueError(
            f"With task={task!r}, `y` of shape {values.shape} must hold only 0 and 1. "
            f"Received: values from {values.min()} to {values.max()}."
        )
    names = names or numbered(values.shape[1])
    if len(names) != values.shape[1]:
        raise ValueError(
            f"`y` has {values.shape[1]} columns, but `class_names` has {len(names)} "
            "names. There must be one name per column."
        )
    return names


def _numbers_of_names(
    values: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    present = np.unique(values)
    names = names or tuple(present.tolist())
    for name in present.tolist():
        if name not in names:
            raise unknown_name("class name", name, names)
    ids = np.array([names.index(name) for name in present.tolist()], np.int32)
    return ids[np.searchsorted(present, values)], names


def _checked_numbers(
    values: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(values) and values.min() < 0:
        raise ValueError(
            "Class ids in `y` must not be negative. Received: "
            f"{int(values.min())} at index {int(values.argmin())}."
        )
    top = int(values.max()) if len(values) else 0
    if names is not None and top >= len(names):
        raise ValueError(
            f"Class ids in `y` must be 0 to {len(names) - 1}, one per name in "
            f"`class_names` ({len(names)}). Received: {top} at index "
            f"{int(values.argmax())}."
        )
    if names is None:
        _check_no_gaps(values, top)
    return values.astype(np.int32), names or numbered(top + 1)


def _check_no_gaps(values: np.ndarray, top: int) -> None:
    present = np.unique(values)
    if len(present) == top + 1:
        return
    absent = np.setdiff1d(np.arange(min(top + 1, 10_000)), present)
    raise ValueError(
        f"Class ids in `y` go up to {top}, but {len(present)} of them occur; missing "
        f"are {absent[:5].tolist()}{' and more' * (len(absent) > 5)}. Number the "
        "classes from 0 without gaps, or pass `class_names` with a name for every id."
    )


def _probabilities(outputs: np.ndarray) -> np.ndarray:
    """Returns probabilities per class; a single output is that of class 1."""
    if outputs.shape[1] == 1:
        positive = unit_values(outputs)
        return np.concatenate([1 - positive, positive], axis=1)
    if sum_to_one(outputs):
        return outputs
    from scipy.special import softmax

    return softmax(outputs, axis=1)


def _class_numbers(labels: np.ndarray, classes: int) -> np.ndarray:
    wrong = labels[(labels < 0) | (labels >= classes) | (labels != np.floor(labels))]
    if wrong.size:
        raise ValueError(
            f"Labels must be class numbers from 0 to {classes - 1}: the model tells "
            f"{classes} classes apart. Received {wrong.size} other labels, such as "
            f"{wrong[0]}."
        )
    return labels.astype("int64")
