"""`Learning`: how an output is learnt, from labels, teachers and suspects."""

import abc
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from tlkeras.heads import last_layer, stack_hidden
from tlkeras.outputs.base.kind import Kind
from tlkeras.outputs.known import KnownLoss, KnownMetric
from tlkeras.outputs.losses import find_metric, is_mean_metric
from tlkeras.outputs.missing import known
from tlkeras.outputs.moments import Moments
from tlkeras.outputs.suspicion import Wrong
from tlkeras.outputs.weighing import Weighing, check_kind


class Learning(Kind):
    """What an output knows of losses, metrics and weights, and of doubtful labels."""

    # The layers.

    def attach(self, features: Any, name: str, weight_decay: float = 0.0) -> Any:
        """Puts the layers of this head on features; returns its outputs, in float32.

        Args:
            features: Symbolic tensor `(batch, width)`, or what else its builder makes.
            name: Of the last layer.
            weight_decay: L2 penalty on its kernels.
        """
        x = stack_hidden(features, self.hidden, self.dropout, weight_decay)
        return last_layer(x, self.units, self.activation, name, weight_decay)

    # Training.

    def solved(self, labels: np.ndarray) -> np.ndarray:
        """Returns what of labels a linear head learns, one number for each unit.

        Args:
            labels: As data hold them.
        """
        return labels

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

    def check_augmented(self, name: str, takes_labels: bool) -> None:
        """Raises `ValueError` where a step of `augment` would make labels wrong.

        Args:
            name: The step's.
            takes_labels: Whether it changes labels along with inputs.
        """

    def moved(self, labels: Any, scales: Any, starts: Any) -> Any:
        """Returns labels of examples that were flipped, zoomed and shifted, in a graph.

        What lay at `x`, as a share of the side, lies at `x * scale + start`.

        Args:
            labels: A batch of labels, a tensor.
            scales: Across and down, below 0 where flipped, `(batch, 2)`.
            starts: Across and down, `(batch, 2)`.
        """
        raise NotImplementedError(f"Labels of a {self.title} have no places.")

    def moved_by_layer(self, layer: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        """Returns what a layer of Keras makes of pictures, and their labels with it.

        Args:
            layer: The layer; its `bounding_box_format` is `"xyxy"`.
            images: A batch of pictures, a tensor.
            labels: Their labels, a tensor.
        """
        raise NotImplementedError(f"Labels of a {self.title} have no places.")

    @property
    def mixable(self) -> bool:
        """Whether `soften` makes rows of the labels."""
        return type(self).soften is not Learning.soften

    def moments(self, labels: np.ndarray) -> Moments | None:
        """Returns where labels lie and how far apart; `None` where that says nothing.

        Outputs begin at the mean, which is what to answer where inputs tell nothing,
        and learn in steps of the deviation.

        Args:
            labels: As data hold them.
        """
        return None

    @property
    def has_moments(self) -> bool:
        """Whether labels are numbers that `moments` tells of."""
        return type(self).moments is not Learning.moments

    def _check_class_weight(self) -> None:
        """Raises `ValueError` unless `class_weight` is of a kind that can be."""
        check_kind(self.class_weight)

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
