"""Losses and metrics over the labels that are known, where others are missing."""

from typing import Any

import keras
from keras import ops

from tlkeras.distribution import sum_over_replicas
from tlkeras.outputs.losses import LabelLoss, MetricAround, find_loss


class _Known:
    """Tells known labels from missing ones, and whether each output has its own.

    Attributes:
        classes: Whether labels are class numbers, of which negative ones are missing.
        by_output: Whether an example may have labels for some outputs alone.
    """

    classes: bool
    by_output: bool

    def known(self, y_true: Any, weights: Any = None) -> tuple[Any, Any, Any]:
        """Returns labels without gaps, which are known, and their weights.

        Args:
            y_true: Labels, `(batch,)` or `(batch, outputs)`.
            weights: Sample weights of shape `(batch,)` or `(batch, outputs)`, or
                `None`.
        """
        y_true = ops.cast(y_true, "float32")
        # NaN is neither.
        known = y_true >= 0 if self.classes else ops.logical_not(ops.isnan(y_true))
        y_true = ops.where(known, y_true, ops.zeros_like(y_true))
        if not self.by_output and len(y_true.shape) > 1:
            known = ops.all(known, axis=tuple(range(1, len(y_true.shape))))
        known = ops.cast(known, "float32")
        if weights is None:
            return y_true, known, known
        weights = ops.cast(weights, "float32")
        if len(weights.shape) < len(known.shape):
            weights = weights[:, None]
        elif len(weights.shape) > len(known.shape):
            weights = ops.mean(weights, axis=-1)
        return y_true, known, known * weights


@keras.saving.register_keras_serializable("tlkeras")
class KnownLoss(_Known, keras.losses.Loss):
    """The mean of a loss over the labels of a batch that are known.

    Where none is known it is 0, and so is its gradient.

    Args:
        loss: A `keras.losses.Loss`, its name, or a function of labels and outputs. A
            `tlkeras.outputs.LabelLoss` has a value for each output, and takes labels
            that are known in part.
        classes: Whether labels are class numbers, of which negative ones are missing.
            In other labels NaN is missing.

    Example:

    >>> loss = KnownLoss("mean_squared_error")
    >>> float(loss(np.array([[1.0], [np.nan]]), np.array([[3.0], [3.0]])))
    4.0
    """

    def __init__(self, loss, classes=False):
        self.loss, self.classes = find_loss(loss), classes
        self.by_output = isinstance(self.loss, LabelLoss)
        if isinstance(self.loss, keras.losses.Loss):
            super().__init__(self.loss.name, self.loss.reduction, self.loss.dtype)
        else:
            super().__init__(self.loss.__name__)

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, known, weights = self.known(y_true, sample_weight)
        if self.reduction in ("sum_over_batch_size", "mean"):
            count = sum_over_replicas(ops.cast(ops.size(known), "float32"))
            some = sum_over_replicas(ops.sum(known))
            weights = weights * ops.divide_no_nan(count, some)
        return super().__call__(y_true, y_pred, weights)

    def call(self, y_true, y_pred):
        return getattr(self.loss, "call", self.loss)(y_true, y_pred)

    def get_config(self):
        return {"loss": keras.losses.serialize(self.loss), "classes": self.classes}

    @classmethod
    def from_config(cls, config):
        return cls(keras.losses.deserialize(config["loss"]), config["classes"])


@keras.saving.register_keras_serializable("tlkeras")
class KnownMetric(_Known, MetricAround):
    """A metric over the labels that are known.

    Args:
        metric: A `keras.metrics.Metric` that takes sample weights.
        classes: As in `KnownLoss`.
        by_output: Whether the metric is a mean over outputs, so that labels may be
            known in part. Otherwise an example counts where all its labels are known.

    Example:

    >>> metric = KnownMetric(keras.metrics.MeanAbsoluteError(name="mae"))
    >>> float(metric(np.array([[1.0], [np.nan]]), np.array([[3.0], [3.0]])))
    2.0
    """

    def __init__(self, metric, classes=False, by_output=False):
        super().__init__(metric)
        self.classes, self.by_output = classes, by_output

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, _, weights = self.known(y_true, sample_weight)
        if self.by_output:
            y_true, y_pred = ops.reshape(y_true, (-1, 1)), ops.reshape(y_pred, (-1, 1))
            weights = ops.reshape(weights, (-1,))
        self.metric.update_state(y_true, y_pred, sample_weight=weights)

    def get_config(self):
        return {
            "metric": keras.metrics.serialize(self.metric),
            "classes": self.classes,
            "by_output": self.by_output,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(keras.metrics.deserialize(config.pop("metric")), **config)
