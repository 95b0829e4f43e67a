"""`Labels`: any of several labels for each input, one, many or none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras.findings import Finding
from tlkeras.linear import Targets
from tlkeras.metrics import calibration, multi_label
from tlkeras.metrics.multi_label import check_thresholds
from tlkeras.metrics.table import ClassTable
from tlkeras.outputs import label_findings
from tlkeras.outputs.base import Prediction, scaling
from tlkeras.outputs.class_labels import check_rows
from tlkeras.outputs.divergence import of_labels
from tlkeras.outputs.features import is_class, is_sequence
from tlkeras.outputs.losses import LabelLoss, classifier_loss
from tlkeras.outputs.missing import known
from tlkeras.outputs.naming import (
    are_zero_or_one,
    check_count,
    name_classes,
    names_config,
    unfit,
    unit_values,
)
from tlkeras.outputs.probabilities import Probabilities
from tlkeras.outputs.sampling import label_shares
from tlkeras.outputs.separability import separability_of_labels
from tlkeras.outputs.shown import Table
from tlkeras.outputs.suspicion import Wrong, wrong_rows
from tlkeras.outputs.weighing import Weighing, label_weighing


@dataclass(frozen=True)
class Labels(Probabilities):
    """Any of several labels for each input: sigmoids, binary cross-entropy, rows.

    Attributes:
        names: The labels' names in the order of the columns, or their number.
        label_smoothing: Share of each label spread over both answers, in [0, 1).
        thresholds: From which probability a label is given: a number from 0 to 1, or
            one for each label; `None`: 0.5.
        hidden: Units of relu layers of this head alone: `(64,)`; `()` for none.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: `None`: binary cross-entropy; `"focal"`; or a Keras loss, its name, or a
            function of rows of labels and of probabilities.
        weight: How much the loss counts in the sum over all heads, at least 0.
        class_weight: For training: from each label, its number or name, to its weight;
            `"balanced"`: each label's presence and absence count the same in total; or
            `None`.
        metrics: Keras metrics or their names; `None`: the share of labels that are
            right.
        logits: Whether the outputs of a model that tlkeras did not build are logits;
            `None`: their values tell.

    See `tl.Classes` for classes of which each input has one.

    Raises:
        ValueError: If an attribute is not one of the above.

    Example:

    >>> tl.Labels(["red", "flying"], thresholds=0.3).units
    2
    """

    names: Sequence[str] | int
    label_smoothing: float = 0.0
    thresholds: float | Sequence[float] | None = None

    task: ClassVar[str] = "multi_label"
    title: ClassVar[str] = "multi-label classification"
    noun: ClassVar[str] = "label"
    nouns: ClassVar[str] = "labels"
    activation: ClassVar[str | None] = "sigmoid"
    accuracy: ClassVar[Any] = keras.metrics.BinaryAccuracy
    output_name: ClassVar[str] = "probabilities"
    has_thresholds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", name_classes(self.names, 1))
        kept = checked_thresholds(self.thresholds, len(self.names))
        object.__setattr__(self, "thresholds", kept)
        super().__post_init__()

    @property
    def units(self) -> int:
        return len(self.names)

    @property
    def least(self) -> np.ndarray:
        """The thresholds, float32 of shape `()` or `(labels,)`."""
        return np.float32(0.5 if self.thresholds is None else self.thresholds)

    def with_thresholds(self, thresholds: Any) -> "Labels":
        return self.but(thresholds=thresholds)

    def get_config(self) -> dict[str, Any]:
        kept = self.thresholds
        return {
            **super().get_config(),
            "names": names_config(self.names),
            "thresholds": list(kept) if isinstance(kept, tuple) else kept,
        }

    # Labels.

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Labels", np.ndarray]:
        if values.ndim != 2:
            raise ValueError(
                "A multi-label task needs `y` of shape (n, classes), a 1 for each "
                f"label that applies. Received: shape {values.shape}."
            )
        names = check_rows(values, names, "multi_label")
        return cls(names), values.astype(np.float32)

    def check(self, labels: np.ndarray, part: str) -> None:
        if labels.ndim == 1 or labels.shape[-1] != self.units:
            raise ValueError(
                f"Labels in `{part}` have shape {labels.shape}; the model has "
                f"{self.units} classes and takes labels of shape (n, {self.units})."
            )
        if not np.all((labels >= 0) & (labels <= 1)):
            raise ValueError(
                f"Labels in `{part}` must be 0 to 1 in each column, one column per "
                f"class. Received values from {labels.min()} to {labels.max()}."
            )

    def doubt(self, labels: np.ndarray, part: str, read: bool = True) -> str | None:
        if not label_findings.looks_one_hot(labels):
            return None
        return (
            f"Each of {len(labels)} rows of labels in `{part}` has exactly one 1: they "
            "look like one-hot rows of classes. Where each input has one class, build "
            "the model without multi_label=True (`tl.Classes`, not `tl.Labels`)."
        )

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        return (known >= 0) & (known <= 1), "from 0 to 1, NaN where missing"

    def label_text(self, label: Any) -> str:
        return ", ".join(self.names[i] for i in np.flatnonzero(np.nan_to_num(label)))

    # Labels, counted.

    def counts(self, labels: np.ndarray) -> np.ndarray:
        return np.nansum(labels, axis=0).astype(int)

    # Plans.

    def separability(
        self, features: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> float | None:
        return separability_of_labels(features, labels, seed)

    # Data.

    @classmethod
    def of_feature(
        cls, feature: Any, labels: Sequence[np.ndarray]
    ) -> tuple["Labels", np.ndarray] | None:
        if not is_sequence(feature) or not is_class(feature.feature):
            return None
        rows = np.zeros((len(labels), feature.feature.num_classes), np.float32)
        for row, ids in zip(rows, labels, strict=True):
            row[ids] = 1
        return cls(tuple(feature.feature.names)), rows

    def _impossible(self, labels: np.ndarray, gaps: bool) -> tuple[np.ndarray, str]:
        fits = np.isin(labels, (0, 1)) | (gaps & np.isnan(labels))
        return ~fits.all(axis=1), "a row of 0 and 1"

    def _findings(self, labels: Mapping[str, np.ndarray]) -> Iterator[Finding]:
        counts = {part: self.counts(rows) for part, rows in labels.items()}
        yield from label_findings.similar_names(self.names)
        yield from label_findings.absent_classes(counts, self.names)
        yield from label_findings.small_classes(counts, self.names)
        yield from label_findings.constant_labels(labels, self.names)
        yield from label_findings.one_hot_rows(np.concatenate([*labels.values()]))
        if "train" in counts:
            train, measure = counts["train"], "binary accuracy"
            yield from label_findings.imbalance(train, self.names, measure)

    # Training.

    def make_loss(self) -> Any:
        return classifier_loss(
            self.loss, multi_label=True, label_smoothing=self.label_smoothing
        )

    def make_metrics(self) -> list[Any]:
        # Keras would compare the most probable label of each row.
        names = ("accuracy", "acc")
        return [
            self.accuracy(name=metric)
            if isinstance(metric, str) and metric in names
            else metric
            for metric in super().make_metrics()
        ]

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        return label_weighing(class_weight, labels, self.names, loss)

    def weighing_of_known(
        self, class_weight: Any, rows: np.ndarray | None
    ) -> Weighing | None:
        if rows is None or isinstance(class_weight, Mapping) or class_weight is None:
            return self.weighing(class_weight, None)
        # Label by label: an example may have some of its labels, and not others.
        rules = [
            label_weighing(class_weight, known(column), (name,))
            for name, column in zip(self.names, rows.T, strict=True)
        ]
        return Weighing(by_column(rules))

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return label_shares(labels)

    def soften(self, labels: Any) -> Any:
        import tensorflow as tf

        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank == 2 and labels.shape[1] == self.units:
            return tf.cast(labels, "float32")
        raise ValueError(
            f"Mixing labels needs rows of {self.units}. Received: labels of shape "
            f"{labels.shape}."
        )

    def _check_class_weight(self) -> None:
        super()._check_class_weight()
        if self.class_weight is None or isinstance(self.make_loss(), LabelLoss):
            return
        raise ValueError(
            "`class_weight` gives each label a weight of its own; the loss takes "
            "the mean over the labels before. Use "
            f"`loss=tlkeras.outputs.LabelLoss(...)`. Received: loss={self.loss!r}."
        )

    # Predictions.

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        check_count(self.names, outputs.shape[1])
        labels = labels.reshape(len(labels), -1)
        if labels.shape != outputs.shape:
            valid = f"{outputs.shape[1]} columns of zeros and ones"
            raise unfit(labels, outputs, valid)
        if not are_zero_or_one(labels):
            raise ValueError(
                "Labels that are not exclusive must be zeros and ones. Received values "
                f"from {labels.min()} to {labels.max()}."
            )
        return labels.astype("int64"), unit_values(outputs, self.logits)

    def answers(self, outputs: np.ndarray) -> list[Prediction]:
        rows = np.asarray(outputs, "float32")
        # Of the dtype of the outputs, as in an evaluation.
        return [self._prediction(row, row >= self.least) for row in rows]

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        import tensorflow as tf

        names = tf.constant(list(self.names))
        label = tf.where(outputs >= self.least, names, "")
        return {"label": label, "probabilities": outputs}

    def same_answers(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first >= self.least) == (second >= self.least)

    # Distillation.

    def soft_loss(self, temperature: float) -> Callable[[Any, Any], Any]:
        return of_labels(temperature)

    def score(self, labels: Any, outputs: Any) -> Any:
        return keras.metrics.binary_accuracy(labels, outputs)

    # Suspects.

    def wrong_labels(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> list[Wrong]:
        return wrong_rows(features, labels, groups, self.names)

    # Labels that come later.

    def with_more(self, names: Sequence[str]) -> "Labels":
        least = self.thresholds
        if isinstance(least, tuple):
            least = (*least, *[0.5] * len(names))
        return self.but(names=(*self.names, *names), thresholds=least)

    def more_targets(
        self, logits: np.ndarray, new: np.ndarray, weights: np.ndarray
    ) -> Targets:
        own = np.arange(new.max() + 1) == new[:, None]
        # Whether an example of one new label has another one was not said.
        known = own | (new == -1)[:, None]
        return Targets(own.astype("float64"), known * weights[:, None], "sigmoid", new)

    def with_rows(
        self, kernel: np.ndarray, bias: np.ndarray, found: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        both = zip((kernel, bias), found, strict=True)
        return tuple(np.concatenate(parts, axis=-1) for parts in both)

    def among(self, outputs: np.ndarray, count: int) -> np.ndarray:
        return outputs[:, :count]

    def taken_for(self, logits: np.ndarray, own: np.ndarray) -> np.ndarray:
        return (_sigmoid(logits) >= self.least)[np.arange(len(own)), own]

    # Labels to ask for.

    def uncertainty(self, logits: np.ndarray) -> np.ndarray:
        return 1 - self._beyond(logits).min(axis=1)

    def between(self, logits: np.ndarray) -> list[str]:
        rows, nearest = _sigmoid(logits), self._beyond(logits).argmin(axis=1)
        pairs = zip(nearest, rows, strict=True)
        return [f"{self.names[i]} {row[i]:.2f}" for i, row in pairs]

    def _beyond(self, logits: np.ndarray) -> np.ndarray:
        """Returns how far each probability is from its threshold, of 1 at most."""
        least = np.clip(self.least, 1e-6, 1 - 1e-6)
        away = _sigmoid(logits) - least
        return np.where(away >= 0, away / (1 - least), -away / least)

    # The command line.

    def record(self, answer: Prediction) -> dict[str, Any]:
        return asdict(answer)

    def fields(self, answer: Prediction) -> list[str]:
        chances = (f"{chance:.4f}" for chance in answer.probability)
        return [",".join(answer.label), ",".join(chances)]

    # The card.

    hub_task: ClassVar[str | None] = "{input}-classification"

    def does(self, noun: str, names: str) -> str:
        labels = f"{len(self.names)} labels ({names})"
        return f"gives each {noun} those of {labels} that fit, several or none"

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        yield scaling(temperature)
        least = self.thresholds
        if least is None:
            return
        if isinstance(least, tuple):
            pairs = zip(names, least, strict=True)
            shown = ", ".join(f"{value:.3g} ({name})" for name, value in pairs)
        else:
            shown = f"{least:.3g}"
        yield f"A label is given from a probability of {shown} on."

    def _prediction(self, row: np.ndarray, given: np.ndarray) -> Prediction:
        named = dict(zip(self.names, map(float, row), strict=True))
        chosen = zip(self.names, given, strict=True)
        found = {name: named[name] for name, is_given in chosen if is_given}
        return Prediction(tuple(found), tuple(found.values()), named)

    # The report.

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        return multi_label.predictions(outputs, self.least)

    def figures(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        return multi_label.metrics(y_true, outputs, sample_weight, self.least)

    def verdict(self, true: Any, predicted: Any, outputs: np.ndarray) -> str:
        pair = (self.label_text(row) or "nothing" for row in (true, predicted))
        return " taken for ".join(pair)

    def confusion(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return multi_label.confusion(y_true, outputs, self.least)

    def per_class(self, y_true: np.ndarray, outputs: np.ndarray) -> ClassTable:
        return multi_label.per_class(y_true, outputs, self.names, self.least)

    def best_thresholds(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return multi_label.best_thresholds(y_true, outputs)

    def tables(self, report: Any) -> Iterator[Table]:
        pairs = zip(self.names, report.thresholds, strict=True)
        rows = [(name, f"{value:.3f}") for name, value in pairs]
        caption = "Thresholds of the best F1 on this data"
        yield Table(caption, ("label", "threshold"), rows, scrolls=True)

    # Calibration.

    def after_scaling(self, temperature: float) -> "Labels":
        if self.thresholds is None or temperature == 1.0:
            return self
        # sigmoid(z) >= t holds where sigmoid(z / T) >= sigmoid(logit(t) / T) does.
        moved = calibration.scaled_thresholds(self.thresholds, temperature)
        return self.but(thresholds=moved)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


def checked_thresholds(
    thresholds: Any, labels: int
) -> float | tuple[float, ...] | None:
    """Returns thresholds as plain numbers, or raises `ValueError`.

    Args:
        thresholds: `None`, a number from 0 to 1, or one per label.
        labels: How many labels there are.

    Example:

    >>> checked_thresholds([0.25, 0.5], 2)
    (0.25, 0.5)
    """
    if thresholds is None:
        return None
    check_thresholds(thresholds, labels)
    plain = thresholds.tolist() if hasattr(thresholds, "tolist") else thresholds
    return tuple(map(float, plain)) if hasattr(plain, "__len__") else float(plain)


def by_column(rules: Sequence[Weighing]) -> Any:
    """Returns the rule that weighs each column of labels by a rule of its own."""

    def rule(labels: Any) -> Any:
        import tensorflow as tf

        columns = (one(labels[:, i : i + 1]) for i, one in enumerate(rules))
        return tf.concat([tf.reshape(column, (-1, 1)) for column in columns], axis=1)

    return rule
