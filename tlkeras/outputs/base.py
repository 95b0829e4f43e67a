"""`Output`: what every kind of answer knows of labels, training and figures."""

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from tlkeras._validation import UnsupportedError, check_number
from tlkeras.findings import Finding
from tlkeras.heads import check_hidden
from tlkeras.metrics.calibration import Reliability
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.table import ClassTable
from tlkeras.outputs.known import KnownLoss, KnownMetric
from tlkeras.outputs.label_findings import impossible_labels
from tlkeras.outputs.losses import find_metric, is_mean_metric
from tlkeras.outputs.missing import are_labelled
from tlkeras.outputs.naming import check_class_names, check_count
from tlkeras.outputs.planning import Proposal, weighing_by_size
from tlkeras.outputs.shown import Plot, Table
from tlkeras.outputs.suspicion import Wrong
from tlkeras.outputs.weighing import Weighing, check_kind

# All kinds by their tasks; `tlkeras.outputs.table` fills it.
OUTPUTS: "dict[str, type[Output]]" = {}


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one input.

    Attributes:
        label: The most probable class; of labels that are not exclusive a tuple of all
            whose probability reaches their threshold (0.5, or `model.thresholds`).
        probability: The probability of `label`; of several labels a tuple.
        probabilities: From each class name to its probability, in the model's order.
    """

    label: str | tuple[str, ...]
    probability: float | tuple[float, ...]
    probabilities: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Output(abc.ABC):
    """One answer of a model: what its labels are, how it is learnt, measured and said.

    A subclass is one kind of answer. What other code wants to know of labels or of
    predictions it asks here; it never asks which kind this is.

    Attributes:
        hidden: Units of relu layers of this head alone: `(64,)`.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: A Keras loss, its name, or a function of labels and outputs; `None`: the
            kind's own.
        weight: How much the loss counts in the sum over all heads.
        class_weight: For training: from each class, its number or name, to its weight;
            or `"balanced"`; or `None`.
        metrics: Keras metrics or their names; `None`: the kind's own.
    """

    hidden: Sequence[int] = ()
    dropout: float = 0.0
    loss: Any = None
    weight: float = 1.0
    class_weight: Mapping[Any, float] | str | None = None
    metrics: Sequence[Any] | None = None

    # The word that arguments, reports and files have for this kind.
    task: ClassVar[str]
    # The same for people.
    title: ClassVar[str]
    # One of what it gives, for people: "class", "label", "number".
    noun: ClassVar[str]
    # Several of them.
    nouns: ClassVar[str]
    # Of the last layer.
    activation: ClassVar[str | None] = None
    # What `"accuracy"` stands for where labels may be missing.
    accuracy: ClassVar[type[keras.metrics.Metric] | None] = None
    # Whether it gives labels from a threshold on, its attribute `thresholds`.
    has_thresholds: ClassVar[bool] = False
    # Whether labels are class numbers, of which -1 is missing.
    are_numbers: ClassVar[bool] = False
    # The end of the name of the builders that are made for it: `image_classifier`.
    goal: ClassVar[str] = "classifier"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", check_hidden(self.hidden))
        check_number("dropout", self.dropout, minimum=0, below=1)
        check_number("weight", self.weight, minimum=0)
        # A loss is cheap to make; a metric has variables, and those of the kind's own
        # are made when a model is compiled.
        self.make_loss()
        if self.metrics is not None:
            for metric in self.make_metrics():
                find_metric(metric, self.accuracy)
        self._check_class_weight()

    # What it is.

    @property
    @abc.abstractmethod
    def units(self) -> int:
        """Width of the last layer."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of what it gives, in their order; `None` where it has no classes."""
        return None

    @property
    def columns(self) -> int:
        """Numbers that one label takes in a row of packed labels."""
        return self.units

    def but(self, **changes: Any) -> "Output":
        """Returns the output with some of its attributes changed."""
        return replace(self, **changes)

    def renamed(self, class_names: Sequence[str]) -> "Output":
        """Returns the output with as many other names, or raises `ValueError`.

        Args:
            class_names: The other names, in the same order.
        """
        names = check_class_names(class_names)
        check_count(names, len(self.class_names or ()) or self.units)
        return self.but(names=names)

    def with_thresholds(self, thresholds: Any) -> "Output":
        """Returns the output with other thresholds.

        Args:
            thresholds: A number from 0 to 1, or one per label.

        Raises:
            ValueError: If the output has none, or they do not fit.
        """
        raise ValueError(
            "`thresholds` are for labels that are not exclusive. Received the task "
            f"{self.task!r}."
        )

    @classmethod
    def unsupported(cls, verb: str, method: str | None = None) -> UnsupportedError:
        """Makes the error for what this kind of output does not offer.

        Args:
            verb: What the user asked for: `"Report.plot_roc"`.
            method: The method of outputs that does it; by default named as the verb.
        """
        method = method or verb.rpartition(".")[2]
        plain = getattr(Output, method)
        others = [k for k in OUTPUTS.values() if getattr(k, method) is not plain]
        offered = [repr(kind.task) for kind in others]
        return UnsupportedError(verb, f"the task {cls.task!r}", offered)

    def get_config(self) -> dict[str, Any]:
        """Returns what a model's file keeps: what Keras' `compile` does not keep."""
        weights = self.class_weight
        if isinstance(weights, Mapping):
            # The weights' class numbers survive JSON.
            weights = [list(pair) for pair in weights.items()]
        return {
            "task": self.task,
            "weight": float(self.weight),
            "class_weight": weights,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Output":
        """Makes an output of what `get_config` returned.

        Args:
            config: That dictionary, also when it was JSON in between.
        """
        config = {name: value for name, value in config.items() if name != "task"}
        if isinstance(config["class_weight"], (list, tuple)):
            pairs = config["class_weight"]
            config["class_weight"] = {key: value for key, value in pairs}
        return cls(**config)

    def fits(self, other: "Output") -> bool:
        """Whether another output gives answers of the same form.

        Args:
            other: The other output.
        """
        return type(self) is type(other) and self.units == other.units

    def takes(self, other: "Output") -> bool:
        """Whether labels that were read for another output can be learnt as this one.

        Args:
            other: The output that data were read for.
        """
        return type(self) is type(other)

    # Labels.

    @classmethod
    @abc.abstractmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Output", np.ndarray]:
        """Returns the output that labels are of, and the labels as data hold them.

        Args:
            values: Numbers or `str`, `(n,)` or `(n, k)`.
            names: The classes' names, where the user gave them.

        Raises:
            ValueError: If they cannot be labels of this kind.
        """

    @abc.abstractmethod
    def check(self, labels: np.ndarray, part: str) -> None:
        """Raises `ValueError` unless labels can be learnt by a model with this output.

        Args:
            labels: Numbers, as `keras.Model.fit` takes them.
            part: What the data are called.
        """

    def pack(self, labels: Any, count: int, about: str) -> np.ndarray:
        """Returns labels as float32 `(count, columns)`, NaN where missing.

        Args:
            labels: Numbers, `(n,)` or `(n, columns)`.
            count: Number of examples.
            about: What they are, for messages.

        Raises:
            ValueError: If they are not as described.
        """
        values = np.asarray(labels)
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"{about} must be numbers. Received dtype {values.dtype}. Turn names "
                "into numbers: `[names.index(name) for name in labels]`."
            )
        values = values.astype("float32")
        if values.ndim == 1 and self.columns == 1:
            values = values[:, None]
        if values.shape != (count, self.columns):
            shape = "(n,)" if self.are_numbers else f"(n, {self.columns})"
            raise ValueError(
                f"{about} must have shape {shape} for n = {count} examples. Received "
                f"shape {np.shape(labels)}."
            )
        known = values[~np.isnan(values)]
        fits, valid = self._valid(known)
        if not fits.all():
            raise ValueError(f"{about} must be {valid}. Received: {known[~fits][0]:g}.")
        return np.where(values < 0, np.nan, values) if self.are_numbers else values

    def unpack(self, rows: Any) -> Any:
        """Returns labels as losses take them, of rows that `pack` made.

        Args:
            rows: Float32 `(n, columns)`, an array or a tensor.
        """
        return rows[:, 0] if self.are_numbers else rows

    @abc.abstractmethod
    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        """Returns which packed labels can be, and what they must be, in words."""

    @abc.abstractmethod
    def label_text(self, label: Any) -> str:
        """Returns one example's label in words.

        Args:
            label: A number or a row, as data hold it.
        """

    # Labels, counted.

    def strata(self, labels: np.ndarray) -> np.ndarray | None:
        """Returns each example's stratum for splitting, int `(n,)`; `None` for none.

        Args:
            labels: As data hold them.
        """
        return None

    def counts(self, labels: np.ndarray) -> np.ndarray | None:
        """Returns how many examples have each class, int `(units,)`, or `None`.

        Args:
            labels: As data hold them, or rows; those that are missing do not count.
        """
        return None

    # Plans.

    @property
    def amount(self) -> str:
        """How much it tells, in words: `"3 classes"`."""
        return f"{self.units} outputs"

    def separability(
        self, features: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> float | None:
        """Returns how well a linear model tells labels from features, cross-validated.

        Args:
            features: Float `(n, width)`.
            labels: As data hold them.
            seed: Seed of the folds.

        Returns:
            From 0 (by chance) to 1 (perfectly); `None` where that is not known, as of
            too few examples.
        """
        return None

    def planned_weights(self, sizes: Sequence[int]) -> Proposal | None:
        """Returns the class weights of a plan, and why; `None` where there are none.

        Args:
            sizes: Training examples of each class, as `counts` returned; `()` for none.
        """
        return weighing_by_size(sizes)

    # Data. Labels are as data hold them: of a head with a name NaN where missing.

    @classmethod
    def of_feature(
        cls, feature: Any, labels: Sequence[np.ndarray]
    ) -> tuple["Output", np.ndarray] | None:
        """Returns the output that a feature of TensorFlow Datasets is of, and labels.

        Args:
            feature: The `tfds.features.FeatureConnector` of the labels.
            labels: One for each example, as the data set gives them.

        Returns:
            Also the labels as data hold them; `None` where it is none of this kind.
        """
        return None

    def are_hidden(self, labels: np.ndarray) -> bool:
        """Whether these labels of a part of a data set stand for none at all.

        Args:
            labels: Those of all its examples, as data hold them.
        """
        return False

    def check_train(self, labels: np.ndarray) -> None:
        """Raises `ValueError` where nothing can be learnt from training labels.

        Args:
            labels: As data hold them.
        """
        if not are_labelled(labels).any():
            raise ValueError(
                "No training example has a label: nothing could be learnt."
            )

    def lost(self, labels: np.ndarray, others: np.ndarray) -> list[str]:
        """Returns the classes that `labels` have, and `others` have not, by name.

        Args:
            labels: As data hold them.
            others: The same.
        """
        return []

    def balanced_weights(self, labels: np.ndarray) -> dict[int, float] | None:
        """Returns for each class number the weight by which all count the same.

        `None`: there are no classes of which an example has one.

        Args:
            labels: As data hold them.
        """
        return None

    def label_table(
        self, labels: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Returns what `Splits.describe` says of labels: a header, and rows of cells.

        Args:
            labels: Of each part; those of a part without examples are empty.
        """
        rows = ((part, str(np.sum(are_labelled(x)))) for part, x in labels.items())
        return ("part", "examples"), tuple(rows)

    def label_findings(
        self, parts: Mapping[str, Any], labels: Mapping[str, np.ndarray], gaps: bool
    ) -> Iterator[Finding]:
        """Yields what is wrong with labels, for `Splits.check`.

        Args:
            parts: The `Examples` of each part.
            labels: Their labels.
            gaps: Whether NaN stands for labels that are missing.
        """
        found = {part: self._impossible(x, gaps) for part, x in labels.items()}
        bad = {part: rows for part, (rows, _) in found.items()}
        yield from impossible_labels(parts, bad, next(iter(found.values()))[1])
        yield from self._findings({p: x[~bad[p]] for p, x in labels.items()})

    def _impossible(self, labels: np.ndarray, gaps: bool) -> tuple[np.ndarray, str]:
        """Returns which labels cannot be, bool `(n,)`, and what they must be."""
        return np.zeros(len(labels), bool), ""

    def _findings(self, labels: Mapping[str, np.ndarray]) -> Iterator[Finding]:
        """Yields what is wrong with labels of each part that can be."""
        return iter(())

    # Training.

    @abc.abstractmethod
    def make_loss(self) -> Any:
        """Returns the loss that a model is compiled with."""

    @abc.abstractmethod
    def default_metrics(self) -> list[Any]:
        """Returns the kind's own metrics, as `keras.Model.compile` takes them."""

    def make_metrics(self) -> list[Any]:
        """Returns the metrics that a model is compiled with."""
        if self.metrics is None:
            return self.default_metrics()
        metrics = self.metrics
        if isinstance(metrics, (str, keras.metrics.Metric)) or callable(metrics):
            metrics = [metrics]
        return list(metrics)

    def known_loss(self) -> KnownLoss:
        """Returns the loss of the labels that are known, where others are missing."""
        return self._known(self.make_loss())

    def _known(self, loss: Any) -> KnownLoss:
        return KnownLoss(loss, classes=self.are_numbers)

    def known_metrics(self) -> list[KnownMetric]:
        """Returns the metrics of the labels that are known."""
        found = [find_metric(metric, self.accuracy) for metric in self.make_metrics()]
        return [
            KnownMetric(metric, self.are_numbers, is_mean_metric(metric))
            for metric in found
        ]

    @abc.abstractmethod
    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        """Makes what weighs the examples of a training by their labels.

        Args:
            class_weight: `None`; `"balanced"`; or from classes to weights.
            labels: All labels of the training examples; `None` where they are not
                known beforehand.
            loss: What the model was compiled with, to be checked against the weights.

        Returns:
            A `Weighing`, or `None` where there is nothing to weigh.

        Raises:
            ValueError: If `class_weight` is none of the above, or needs labels that are
                not known, or does not fit them or the loss.

        Reference:
            King and Zeng, Logistic Regression in Rare Events Data (2001); Yang et al.,
            Delving into Deep Imbalanced Regression (2021).
        """

    def weighing_of_known(
        self, class_weight: Any, rows: np.ndarray | None
    ) -> Weighing | None:
        """Makes what weighs examples some of whose labels are missing.

        Args:
            class_weight: `None`; `"balanced"`; or from classes to weights.
            rows: Packed labels; `None` where they are not known beforehand.
        """
        if rows is None or isinstance(class_weight, Mapping):
            return self.weighing(class_weight, None)
        return self.weighing(class_weight, known(rows[:, 0]))

    @abc.abstractmethod
    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns how often each example is to be drawn, and what kind it is of.

        Args:
            labels: Of all examples that may be drawn.

        Returns:
            Shares, float `(n,)`, as `balanced_positions` takes them, and kinds, `(n,)`:
            numbers by which like examples stand together.
        """

    def soften(self, labels: Any) -> Any:
        """Returns labels as rows of probabilities, which may be mixed, in a graph.

        Args:
            labels: A batch of labels, a tensor.

        Raises:
            ValueError: If the kind has none, or the labels do not fit.
        """
        raise ValueError(
            f"The labels of a {self.title} are numbers of their own: they cannot be "
            "mixed. Leave the mixing out, or pass a function `f(images, labels)` that "
            "changes both as your task allows."
        )

    @property
    def mixable(self) -> bool:
        """Whether `soften` makes rows of the labels."""
        return type(self).soften is not Output.soften

    def _check_class_weight(self) -> None:
        """Raises `ValueError` unless `class_weight` is of a kind that can be."""
        check_kind(self.class_weight)

    # Predictions.

    @abc.abstractmethod
    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns labels and outputs in the form that figures take.

        Args:
            labels: Numbers of shape `(n,)` or `(n, columns)`.
            outputs: Float32 `(n, outputs)`: probabilities, logits or values.

        Returns:
            Class numbers `(n,)`, zeros and ones `(n, labels)`, or values `(n,)` or
            `(n, targets)`; and float32 probabilities, or values shaped as these.

        Raises:
            ValueError: If labels and outputs do not fit each other.
        """

    @abc.abstractmethod
    def answers(self, outputs: np.ndarray) -> list[Any]:
        """Returns what `classify` says of each input.

        Args:
            outputs: Float32 `(n, units)`, as the model gives them.

        Returns:
            A `Prediction`, a number or a tuple of numbers for each.
        """

    @abc.abstractmethod
    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        """Returns what an exported graph says, as TensorFlow tensors by name.

        Args:
            outputs: The model's outputs, a tensor `(batch, units)`.

        Returns:
            The outputs under `output_name`, and what is said of them.
        """

    # What the model's own outputs are called in an exported graph.
    output_name: ClassVar[str]

    def same_answers(self, first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
        """Returns where two rows of outputs give the same answer; `None`: no labels.

        Args:
            first: Float32 `(n, units)`.
            second: The same, of another model of the same kind.
        """
        return None

    # Explanations.

    # Whether its outputs are probabilities, behind the activation that is its own.
    gives_probabilities: ClassVar[bool] = False

    @property
    def unit_names(self) -> tuple[str, ...] | None:
        """Names of what each output speaks for; `None` where they have none."""
        return self.class_names

    def explained(self, outputs: np.ndarray) -> np.ndarray:
        """Returns which output is explained of each input, where none was named.

        Args:
            outputs: Float32 `(n, units)`, as the model gives them.

        Raises:
            ValueError: If it has to be named.
        """
        if self.units > 1:
            raise ValueError(
                f"The model has {self.units} numbers as its outputs. Say which one to "
                f"explain: `target=0` to `target={self.units - 1}`."
            )
        return np.zeros(len(outputs), "int64")

    # Distillation.

    # What `score` is called.
    score_name: ClassVar[str] = "mae"

    def soft_loss(self, temperature: float) -> Callable[[Any, Any], Any]:
        """Returns how far a student is from its teacher, a function of both's outputs.

        Args:
            temperature: What logits are divided by.
        """
        return keras.distillation.FeatureDistillation("mse").compute_loss

    def score(self, labels: Any, outputs: Any) -> Any:
        """Returns how right outputs are, a tensor, by what training shows as such.

        Args:
            labels: A batch of labels, a tensor.
            outputs: What the model gave for them, a tensor `(n, units)`.
        """
        return ops.abs(ops.reshape(labels, ops.shape(outputs)) - outputs)

    # Suspects.

    def wrong_labels(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> list[Wrong]:
        """Returns the labels that are likely wrong, the most suspicious first.

        Args:
            features: Float `(n, channels)`.
            labels: As data hold them.
            groups: A number for each example, the same for duplicates.
        """
        return []

    # The report. `y_true` and `outputs` are what `read_predictions` returned, `y_pred`
    # what `predictions` did; a `report` is one of this output.

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

    def sentences(self, report: Any) -> Iterable[str]:
        """Returns what a printed report says besides these.

        Args:
            report: A report of this output.
        """
        return ()

    # Calibration.

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
        return type(self).temperature is not Output.temperature

    def after_scaling(self, temperature: float) -> "Output":
        """Returns the output that decides as this did before logits were divided.

        Args:
            temperature: What they were divided by.
        """
        return self

    # The command line.

    def record(self, answer: Any) -> dict[str, Any]:
        """Returns one of `answers` as what JSON knows.

        Args:
            answer: One of what `answers` returned.
        """
        return {"value": answer}

    def fields(self, answer: Any) -> list[str]:
        """Returns one of `answers` as columns of text.

        Args:
            answer: One of what `answers` returned.
        """
        values = answer if isinstance(answer, tuple) else (answer,)
        return [",".join(f"{value:.6g}" for value in values)]

    # The card.

    # What model hubs call the task, behind the word for the input; `None`: nothing.
    hub_task: ClassVar[str | None] = None

    def does(self, noun: str, names: str) -> str:
        """Says what it does: "gives each picture ...".

        Args:
            noun: One of what goes in.
            names: Its `class_names`, listed for people; may be empty.
        """
        return f"answers each {noun}"

    def limits(self, noun: str) -> Iterator[str]:
        """Yields sentences on what its answers cannot say.

        Args:
            noun: One of what goes in.
        """
        return iter(())

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        """Yields sentences on what its probabilities are, and where labels begin.

        Args:
            temperature: What `tl.calibrate` divided the logits by, if it did.
            names: Its `class_names`, as a card writes them.
        """
        return iter(())


def scaling(temperature: float | None) -> str:
    """Says whether logits were scaled, for a card."""
    if temperature is None:
        return "The logits were not scaled by `tl.calibrate`."
    return f"`tl.calibrate` divided the logits by {temperature:.3g}."


def known(column: np.ndarray) -> np.ndarray:
    """Returns the labels of a column that are there; one zero where none is."""
    found = column[~np.isnan(column)]
    return found[:, None] if len(found) else np.zeros((1, 1), "float32")
