"""`Classes`: one of several classes for each input."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from tlkeras._validation import few
from tlkeras.findings import Finding
from tlkeras.linear import Targets
from tlkeras.metrics import classification
from tlkeras.metrics.table import ClassTable, number, one_line
from tlkeras.outputs import label_findings
from tlkeras.outputs.base import Prediction, scaling
from tlkeras.outputs.class_labels import (
    check_several,
    check_shares,
    check_truth,
    checked_numbers,
    class_numbers,
    numbers_of_names,
    numbers_of_rows,
)
from tlkeras.outputs.column import ClassLookup, name_of
from tlkeras.outputs.divergence import of_classes, of_labels
from tlkeras.outputs.features import is_class
from tlkeras.outputs.losses import class_metric, classifier_loss
from tlkeras.outputs.naming import (
    are_zero_or_one,
    check_count,
    class_shares_of,
    name_classes,
    names_config,
    sum_to_one,
    unfit,
    unit_values,
)
from tlkeras.outputs.probabilities import Probabilities
from tlkeras.outputs.sampling import are_numbers, balanced_class_weights, class_shares
from tlkeras.outputs.separability import separability_of_classes
from tlkeras.outputs.shown import Plot, Table
from tlkeras.outputs.suspicion import Wrong, wrong_classes
from tlkeras.outputs.weighing import Weighing, class_weighing

# In a report: classes of a confusion matrix as a table, and pairs in a sentence.
_MOST_TABLE_CLASSES, _MOST_PAIRS = 20, 5


@dataclass(frozen=True)
class Classes(Probabilities):
    """One of several classes for each input: softmax, cross-entropy, class numbers.

    Attributes:
        names: The classes' names in the order of the labels, or their number.
        label_smoothing: Share of each label spread over all classes, in [0, 1).
        single_unit: Whether one sigmoid output tells two classes apart: the probability
            of the second.
        hidden: Units of relu layers of this head alone: `(64,)`; `()` for none.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: `None`: cross-entropy. `"focal"`: focal loss (gamma 2), which turns from
            examples that are already right to those that are not, such as those of
            rare classes. Or a Keras loss, its name, or a function of labels and
            probabilities. Losses and metrics of Keras take class numbers and one-hot
            rows alike.
        weight: How much the loss counts in the sum over all heads, at least 0.
        class_weight: For training: from each class, its number or name, to its weight;
            `"balanced"`: all classes count the same in total; or `None`.
        metrics: Keras metrics or their names; `None`: accuracy.
        logits: Whether the outputs of a model that tlkeras did not build are logits;
            `None`: their values tell.
        one_hot: Whether the loss of a model that tlkeras did not build, whose heads
            have names, takes a row for each label; class numbers become such.

    See `tl.Labels` for several labels at once, `tl.Numbers` for numbers.

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
    one_hot: bool = field(default=False, repr=False, compare=False, kw_only=True)

    task: ClassVar[str] = "classification"
    title: ClassVar[str] = "classification"
    noun: ClassVar[str] = "class"
    nouns: ClassVar[str] = "classes"
    are_numbers: ClassVar[bool] = True
    output_name: ClassVar[str] = "probabilities"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", name_classes(self.names, 2))
        if self.single_unit and len(self.names) != 2:
            raise ValueError(
                "One unit tells two classes apart. Received: single_unit=True and "
                f"{len(self.names)} classes."
            )
        super().__post_init__()

    @property
    def units(self) -> int:
        return 1 if self.single_unit else len(self.names)

    @property
    def activation(self) -> str:
        return "sigmoid" if self.single_unit else "softmax"

    @property
    def accuracy(self) -> type[keras.metrics.Metric]:
        if self.single_unit:
            return keras.metrics.BinaryAccuracy
        return keras.metrics.SparseCategoricalAccuracy

    @property
    def columns(self) -> int:
        return self.units if self.one_hot else 1

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "names": names_config(self.names),
            "single_unit": self.single_unit,
        }

    # Labels.

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Classes", np.ndarray]:
        if values.ndim == 2:
            numbers, names = numbers_of_rows(values, names)
        elif values.dtype.kind == "U":
            numbers, names = numbers_of_names(values, names)
        elif values.dtype.kind == "f":
            raise ValueError(
                f"With task='classification', `y` must hold whole numbers or strings. "
                f"Received: dtype {values.dtype}. If these are class ids, pass "
                "`y.astype('int32')`."
            )
        else:
            numbers, names = checked_numbers(values, names)
        check_several(numbers, names)
        return cls(names), numbers

    def check(self, labels: np.ndarray, part: str) -> None:
        check_truth(labels, self.names, f"Labels in `{part}`")
        count = len(self.names)
        if labels.ndim > 1 and labels.shape[-1] != 1:
            if labels.shape[-1] != self.units:
                raise ValueError(
                    f"Labels in `{part}` have shape {labels.shape}; the model has "
                    f"{count} classes and takes labels of shape (n, {self.units})."
                )
            check_shares(labels, f"Labels in `{part}`")
            return
        low, high = labels.min(), labels.max()
        # The loss of a single unit takes a probability as well.
        fits = self.single_unit or np.all(labels == labels.astype("int64"))
        if low < 0 or high >= count or not fits:
            fraction = "" if fits else f", such as {labels[labels % 1 != 0][0]:g}"
            raise ValueError(
                f"Labels in `{part}` must be whole numbers from 0 to {count - 1}, for "
                f"the model's {count} classes. Received labels from {low} to {high} "
                f"({labels.dtype}){fraction}. Build the model with `data.class_names`."
            )

    def doubt(self, labels: np.ndarray, part: str, read: bool = True) -> str | None:
        if read or not are_numbers(labels.shape, len(self.names)):
            return None
        distinct = np.unique(labels[np.isfinite(labels)]).tolist()
        turned = ClassLookup(self.names).turned_round(distinct)
        if turned is None:
            return None
        return (
            f"Labels in `{part}` are taken for positions among the model's classes, "
            f"{few(self.names)}: {name_of(turned)!r} as a name would be another class. "
            "`tl.from_arrays(x, y, class_names=model.class_names)` takes names."
        )

    def pack(self, labels: Any, count: int, about: str) -> np.ndarray:
        values = np.asarray(labels)
        check_truth(values, self.names, about)
        if not self.one_hot:
            return super().pack(values, count, about)
        if are_numbers(values.shape, len(self.names)):
            rows = self.but(one_hot=False).pack(values, count, about)
            known = ~np.isnan(rows)
            numbers = np.where(known, rows, 0)[:, 0].astype(int)
            return np.where(known, np.eye(self.units)[numbers], np.nan)
        rows = super().pack(values, count, about)
        check_shares(rows[~np.isnan(rows).any(axis=1)], about)
        return rows

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        if self.one_hot:
            return (known >= 0) & (known <= 1), "from 0 to 1, NaN where missing"
        last = len(self.names) - 1
        fits = (known >= -1) & (known <= last) & (known == np.round(known))
        return fits, f"whole numbers from 0 to {last}, -1 where missing"

    def label_text(self, label: Any) -> str:
        (number,) = self.numbers(np.asarray(label)[None])
        return self.names[number] if number >= 0 else "missing"

    # Labels, counted.

    def numbers(self, labels: np.ndarray) -> np.ndarray:
        """Returns class numbers `(n,)`, -1 where missing.

        Args:
            labels: Class numbers `(n,)` or `(n, 1)`, or rows `(n, classes)`.
        """
        labels = np.asarray(labels)
        if not are_numbers(labels.shape, len(self.names)):
            return np.where(np.isnan(labels).any(axis=1), -1, labels.argmax(axis=1))
        flat = labels.reshape(-1)
        known = np.isfinite(flat) & (flat >= 0)
        return np.where(known, flat, -1).astype("int64")

    def strata(self, labels: np.ndarray) -> np.ndarray:
        return self.numbers(labels)

    def counts(self, labels: np.ndarray) -> np.ndarray:
        numbers = self.numbers(labels)
        return np.bincount(numbers[numbers >= 0], minlength=len(self.names))

    # Plans.

    def separability(
        self, features: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> float | None:
        return separability_of_classes(features, self.numbers(labels), seed)

    # Data.

    @classmethod
    def of_feature(
        cls, feature: Any, labels: Sequence[np.ndarray]
    ) -> tuple["Classes", np.ndarray] | None:
        if not is_class(feature):
            return None
        return cls(tuple(feature.names)), np.array(labels, np.int32)

    def are_hidden(self, labels: np.ndarray) -> bool:
        # TensorFlow Datasets marks unknown classes by -1.
        return bool(np.any(labels < 0))

    def check_train(self, labels: np.ndarray) -> None:
        numbers = self.numbers(labels)
        check_several(numbers[numbers >= 0], self.names)

    def lost(self, labels: np.ndarray, others: np.ndarray) -> list[str]:
        absent = np.setdiff1d(self.numbers(labels), self.numbers(others))
        return [self.names[number] for number in absent if number >= 0]

    def balanced_weights(self, labels: np.ndarray) -> dict[int, float]:
        numbers = self.numbers(labels)
        weights = balanced_class_weights(numbers[numbers >= 0], len(self.names))
        return dict(enumerate(weights.tolist()))

    def _impossible(self, labels: np.ndarray, gaps: bool) -> tuple[np.ndarray, str]:
        last = len(self.names) - 1
        return (labels < 0) | (labels > last), f"a class id, 0 to {last}"

    def _findings(self, labels: Mapping[str, np.ndarray]) -> Iterator[Finding]:
        counts = {part: self.counts(numbers) for part, numbers in labels.items()}
        yield from label_findings.similar_names(self.names)
        yield from label_findings.joined_names(self.names)
        yield from label_findings.absent_classes(counts, self.names)
        yield from label_findings.small_classes(counts, self.names)
        if "train" in counts:
            train = counts["train"]
            yield from label_findings.imbalance(train, self.names, "accuracy")

    # Training.

    def make_loss(self) -> Any:
        # One sigmoid output is learnt as one label is.
        return classifier_loss(
            self.loss,
            multi_label=self.single_unit,
            label_smoothing=self.label_smoothing,
        )

    def make_metrics(self) -> list[Any]:
        metrics = super().make_metrics()
        if self.single_unit:
            return metrics
        return [class_metric(metric, self.accuracy) for metric in metrics]

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        return class_weighing(class_weight, labels, self.names)

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return class_shares(labels, len(self.names))

    def soften(self, labels: Any) -> Any:
        import tensorflow as tf

        labels, count = tf.convert_to_tensor(labels), len(self.names)
        if self.single_unit and are_numbers(labels.shape, count):
            return tf.reshape(tf.cast(labels, "float32"), [-1, 1])
        if are_numbers(labels.shape, count):
            return tf.one_hot(tf.cast(tf.reshape(labels, [-1]), "int32"), count)
        if labels.shape.rank == 2 and labels.shape[1] == self.units:
            return tf.cast(labels, "float32")
        raise ValueError(
            f"Mixing labels needs class numbers, or rows of {self.units}. Received: "
            f"labels of shape {labels.shape}."
        )

    # Predictions.

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        check_truth(labels, self.names, "Labels")
        probabilities = _probabilities(outputs, self.logits)
        classes = probabilities.shape[1]
        check_count(self.names, classes)
        if labels.reshape(len(labels), -1).shape[1] == 1:
            return class_numbers(labels.ravel(), classes), probabilities
        if labels.shape[1] != classes:
            raise unfit(labels, outputs, f"one column, or {classes} for one-hot rows")
        if not are_zero_or_one(labels) and sum_to_one(labels):
            raise ValueError(
                "Labels are shares of the classes, which train but have no right "
                "class to compare predictions with. Pass class numbers: "
                "`y.argmax(axis=1)`, the class of the largest share. Received: such as "
                f"{labels[np.argmax((labels % 1 != 0).any(axis=1))].tolist()[:10]}."
            )
        if not are_zero_or_one(labels) or np.any(labels.sum(axis=1) != 1):
            raise ValueError(
                "Labels with a column per class must be one-hot: a single 1 in each "
                "row. For labels that are not exclusive pass `task='multi_label'`."
            )
        return labels.argmax(axis=1), probabilities

    def answers(self, outputs: np.ndarray) -> list[Prediction]:
        rows = self._by_class(np.asarray(outputs, "float32"), np.concatenate)
        return [self._prediction(row) for row in rows]

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        import tensorflow as tf

        names, rows = tf.constant(list(self.names)), self._by_class(outputs, tf.concat)
        return {
            "label": tf.gather(names, tf.argmax(rows, axis=-1)),
            "probability": tf.reduce_max(rows, axis=-1),
            "probabilities": outputs,
        }

    def same_answers(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        rows = (self._by_class(each, np.concatenate) for each in (first, second))
        one, other = (each.argmax(axis=-1) for each in rows)
        return one == other

    def _by_class(self, outputs: Any, concatenate: Callable) -> Any:
        """Returns a column for each class, of a single unit, too."""
        if not self.single_unit:
            return outputs
        return concatenate([1 - outputs, outputs], axis=-1)

    # Classes that come later.

    def with_more(self, names: Sequence[str]) -> "Classes":
        if self.single_unit and self.loss is not None and self.loss != "focal":
            raise ValueError(
                "A model with a single unit for two classes becomes one with a unit "
                "for each, which its own loss may not take. Build it without "
                f"single_unit=True. Received: loss={self.loss!r}."
            )
        return self.but(names=(*self.names, *names), single_unit=False)

    def more_targets(
        self, logits: np.ndarray, new: np.ndarray, weights: np.ndarray
    ) -> Targets:
        # All known classes are one among the new ones: as likely as their sum.
        offsets = np.zeros((len(new), new.max() + 2))
        offsets[:, 0] = np.logaddexp.reduce(self._logits(logits), axis=1)
        values = np.eye(offsets.shape[1])[new + 1]
        return Targets(values, weights[:, None], "softmax", new, offsets)

    def with_rows(
        self, kernel: np.ndarray, bias: np.ndarray, found: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        # What is added to all logits of known classes can be taken from the new ones.
        rows = (each[..., 1:] - each[..., :1] for each in found)
        both = zip(map(self._logits, (kernel, bias)), rows, strict=True)
        return tuple(np.concatenate(parts, axis=-1) for parts in both)

    def among(self, outputs: np.ndarray, count: int) -> np.ndarray:
        rows = self._by_class(outputs, np.concatenate)[:, :count]
        total = rows.sum(axis=1, keepdims=True)
        # Of what is left beside a class that is certain, rounding leaves nothing.
        return rows / np.where(total > 1e-6, total, np.nan)

    def taken_for(self, logits: np.ndarray, own: np.ndarray) -> np.ndarray:
        return self._logits(logits).argmax(axis=1) == own

    # Another domain.

    def class_probabilities(self, outputs: Any) -> Any:
        outputs = ops.cast(outputs, "float32")
        if not self.single_unit:
            return outputs
        return ops.concatenate([1 - outputs, outputs], axis=-1)

    def with_shares(self, bias: np.ndarray, ratios: np.ndarray) -> np.ndarray:
        more = np.log(ratios)
        return bias + (more[1:] - more[:1] if self.single_unit else more)

    # Labels to ask for.

    def uncertainty(self, logits: np.ndarray) -> np.ndarray:
        first, second = self._likeliest(logits)[1].T
        return 1 - (first - second)

    def between(self, logits: np.ndarray) -> list[str]:
        return [
            " or ".join(f"{self.names[i]} {p:.2f}" for i, p in zip(*pair, strict=True))
            for pair in zip(*self._likeliest(logits), strict=True)
        ]

    def _likeliest(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the two likeliest classes and their probabilities, each `(n, 2)`."""
        rows = self._shares(logits)
        order = np.argsort(-rows, axis=1, kind="stable")[:, :2]
        return order, np.take_along_axis(rows, order, axis=1)

    def _shares(self, logits: np.ndarray) -> np.ndarray:
        rows = self._logits(logits)
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
        return rows / rows.sum(axis=1, keepdims=True)

    def _logits(self, rows: np.ndarray) -> np.ndarray:
        """Returns logits, or weights that make them, with a column for each class."""
        if not self.single_unit:
            return rows
        return np.concatenate([np.zeros_like(rows), rows], axis=-1)

    # The command line.

    def record(self, answer: Prediction) -> dict[str, Any]:
        return asdict(answer)

    def fields(self, answer: Prediction) -> list[str]:
        return [answer.label, f"{answer.probability:.4f}"]

    # The card.

    hub_task: ClassVar[str | None] = "{input}-classification"

    def does(self, noun: str, names: str) -> str:
        return f"gives each {noun} one of {len(self.names)} classes ({names})"

    def limits(self, noun: str) -> Iterator[str]:
        yield (
            f"It answers every {noun} with one of its classes, also a {noun} of "
            "something else: it cannot say that it does not know."
        )

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        yield scaling(temperature)

    # Explanations.

    @property
    def unit_names(self) -> tuple[str, ...]:
        return self.names[1:] if self.single_unit else self.names

    # Distillation.

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

    # The report.

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        return classification.predictions(outputs)

    def figures(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        return classification.metrics(y_true, outputs, sample_weight)

    def verdict(self, true: Any, predicted: Any, outputs: np.ndarray) -> str:
        found, right = self.names[predicted], self.names[true]
        if true == predicted:
            return f"rightly {found} ({outputs[predicted]:.2f})"
        return (
            f"{right} taken for {found} ({found} {outputs[predicted]:.2f}, {right} "
            f"{outputs[true]:.2f})"
        )

    def confusion(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return classification.confusion(y_true, outputs)

    def per_class(self, y_true: np.ndarray, outputs: np.ndarray) -> ClassTable:
        return classification.per_class(y_true, outputs, self.names)

    def most_confused(self, confusion: np.ndarray, n: int) -> list[dict[str, Any]]:
        return classification.most_confused(confusion, self.names, n)

    def plot_confusion(
        self, report: Any, ax: Any = None, normalize: bool = False
    ) -> Any:
        from tlkeras.plots import plot_confusion

        return plot_confusion(report.confusion, self.names, ax, normalize)

    def plots(self, report: Any) -> Iterator[Plot]:
        from tlkeras.plots.confusion import confusion_size

        worst = "No example was confused."
        for pair in report.most_confused(1):
            worst = (
                f"Most frequent confusion: {pair['true']} predicted as "
                f"{pair['predicted']}, {pair['count']} times."
            )
        description = (
            f"Confusion matrix of {len(self.names)} classes, rows true, columns "
            f"predicted. Accuracy {number(report.accuracy)}. {worst}"
        )
        size, draw = confusion_size(self.names), report.plot_confusion
        yield Plot("confusion", "Confusion matrix", description, size, draw)
        yield from super().plots(report)

    def tables(self, report: Any) -> Iterator[Table]:
        if len(self.names) <= _MOST_TABLE_CLASSES:
            counts = zip(self.names, report.confusion.tolist(), strict=True)
            yield Table(
                "Examples, and their share of the true class (row), by prediction",
                ("true class", *self.names),
                [(name, *_with_shares(row)) for name, row in counts],
                folded_behind="Confusion matrix as a table",
            )
        pairs = report.most_confused()
        if pairs:
            yield Table(
                "Most confused classes",
                ("true class", "predicted as", "examples", "share of the true class"),
                [
                    (p["true"], p["predicted"], p["count"], f"{p['share']:.3f}")
                    for p in pairs
                ],
            )

    def sentences(self, report: Any) -> Iterator[str]:
        pairs = [
            f"{one_line(pair['true'])} as {one_line(pair['predicted'])} "
            f"({pair['count']})"
            for pair in report.most_confused(_MOST_PAIRS)
        ]
        if pairs:
            yield f"Most confused: {', '.join(pairs)}."

    def _told_apart(self, numbers: np.ndarray) -> np.ndarray:
        # Of two classes one curve is the other one's mirror image.
        return numbers[-1:] if len(self.names) == 2 else numbers


def _with_shares(counts: Sequence[int]) -> list[str]:
    """Returns counts with the share that each has of them all."""
    total = max(1, sum(counts))
    return [f"{count} ({count / total:.0%})" for count in counts]


def _probabilities(outputs: np.ndarray, logits: bool | None) -> np.ndarray:
    """Returns probabilities per class; a single output is that of class 1."""
    if outputs.shape[1] > 1:
        return class_shares_of(outputs, logits)
    positive = unit_values(outputs, logits)
    return np.concatenate([1 - positive, positive], axis=1)
