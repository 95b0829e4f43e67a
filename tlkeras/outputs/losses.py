"""Losses that take labels in every form, and losses and metrics found by name."""

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tlkeras import _keras
from tlkeras._validation import check_number, unknown_name

# Losses of Keras that take class numbers, or no classes at all.
_NO_ROWS = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.Circle,
    keras.losses.circle,
    keras.losses.CTC,
    keras.losses.ctc,
)
_NUMBER_LOSSES = _NO_ROWS[:2]
_BINARY = (
    keras.losses.BinaryCrossentropy,
    keras.losses.binary_crossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.binary_focal_crossentropy,
)
_HINGES = (
    keras.losses.Hinge,
    keras.losses.hinge,
    keras.losses.SquaredHinge,
    keras.losses.squared_hinge,
)
# Losses and metrics of Keras that are means over an example's outputs.
_MEAN_LOSSES = (
    keras.losses.mean_squared_error,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.poisson,
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.Poisson,
)
_MEAN_METRICS = (
    keras.metrics.BinaryAccuracy,
    keras.metrics.BinaryCrossentropy,
    keras.metrics.MeanSquaredError,
    keras.metrics.RootMeanSquaredError,
    keras.metrics.MeanAbsoluteError,
    keras.metrics.MeanAbsolutePercentageError,
    keras.metrics.MeanSquaredLogarithmicError,
    keras.metrics.LogCoshError,
    keras.metrics.Poisson,
)
# Metrics of Keras that take class numbers.
_NUMBER_METRICS = (
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.SparseCategoricalCrossentropy,
    keras.metrics.SparseTopKCategoricalAccuracy,
)
# A wrapper of theirs may hold a function of the user's own.
_METRICS_OF_KERAS = tuple(
    known
    for known in vars(keras.metrics).values()
    if callable(known) and known is not keras.metrics.MeanMetricWrapper
)


@keras.saving.register_keras_serializable("tlkeras")
class ClassCrossentropy(keras.losses.Loss):
    """Cross-entropy of softmax outputs, for class numbers and for soft targets alike.

    Keras has one loss for class numbers and another, which alone smooths labels, for
    targets that are distributions. Mixed examples need the second, plain ones the
    first; this is both.

    Args:
        label_smoothing: Share of the probability that is spread evenly over all
            classes, in [0, 1).

    Call arguments: `y_true` of shape `(batch,)` or `(batch, 1)` holds class numbers, of
    shape `(batch, classes)` it holds distributions; `y_pred` of shape
    `(batch, classes)` holds probabilities.

    Example:

    >>> loss = ClassCrossentropy(label_smoothing=0.1)
    >>> float(loss([1], [[0.0, 1.0]])) > 0.5
    True

    Reference:
        Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    """

    def __init__(self, label_smoothing=0.0, name="class_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = check_number(
            "label_smoothing", label_smoothing, minimum=0, below=1
        )

    def call(self, y_true, y_pred):
        y_true, y_pred = _of_known_form(y_true, y_pred)
        if _are_rows(y_true, y_pred):
            return keras.losses.categorical_crossentropy(
                y_true, y_pred, label_smoothing=self.label_smoothing
            )
        loss = keras.losses.sparse_categorical_crossentropy(
            ops.cast(y_true, "int32"), y_pred
        )
        if not self.label_smoothing:
            return loss
        smallest = keras.config.epsilon()
        uniform = -ops.mean(ops.log(ops.clip(y_pred, smallest, 1.0)), axis=-1)
        return (1 - self.label_smoothing) * loss + self.label_smoothing * uniform

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class _Around(keras.losses.Loss):
    """A loss made of another one, with its name and its reduction.

    Args:
        loss: A `keras.losses.Loss`, a function like those of `keras.losses`, or the
            name of either.
    """

    def __init__(self, loss):
        self.loss = find_loss(loss)
        if isinstance(self.loss, keras.losses.Loss):
            inner = self.loss
            super().__init__(inner.name, inner.reduction, inner.dtype)
            self.values = inner.call
        else:
            super().__init__(self.loss.__name__)
            self.values = self.loss

    def get_config(self):
        return {"loss": keras.losses.serialize(self.loss)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.losses.deserialize(config["loss"]))


@keras.saving.register_keras_serializable("tlkeras")
class ClassLoss(_Around):
    """Lets a loss that takes rows of probabilities take class numbers too.

    Args:
        loss: A `keras.losses.Loss`, a function like those of `keras.losses`, or the
            name of either, that takes `y_true` of shape `(batch, classes)`.

    Call arguments: as those of `ClassCrossentropy`.

    Example:

    >>> loss = ClassLoss(keras.losses.CategoricalFocalCrossentropy(alpha=1.0))
    >>> round(float(loss([1], [[0.5, 0.5]])), 4)
    0.1733
    """

    def call(self, y_true, y_pred):
        y_true, y_pred = _of_known_form(y_true, y_pred)
        if not _are_rows(y_true, y_pred):
            numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            y_true = ops.one_hot(numbers, y_pred.shape[-1], dtype=y_pred.dtype)
        return self.values(y_true, y_pred)


@keras.saving.register_keras_serializable("tlkeras")
class LabelLoss(_Around):
    """A loss of labels that are not exclusive, with a value for each label.

    Keras' binary losses take the mean over an example's labels, so that weights can
    tell examples apart but not labels. This one takes sample weights of shape
    `(batch, labels)` as well as `(batch,)`; without weights its value is the same.

    Args:
        loss: A `keras.losses.Loss` that takes the mean over the last axis, a function
            that does, or the name of either.

    Call arguments: `y_true` holds numbers from 0 to 1, `y_pred` probabilities, both of
    shape `(batch, labels)`.

    Example:

    >>> loss = LabelLoss("binary_crossentropy")
    >>> values = loss.call(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    >>> np.round(np.array(values), 4).tolist()
    [[0.6931, 0.6931]]
    """

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            if len(sample_weight.shape) == 1:
                # Keras would take them for the weights of the labels.
                sample_weight = sample_weight[:, None]
            sample_weight = ops.broadcast_to(sample_weight, ops.shape(y_pred))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        y_true = ops.reshape(y_true, ops.shape(y_pred))
        return self.values(y_true[..., None], y_pred[..., None])


def _of_known_form(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Returns labels and outputs as tensors, of which `_are_rows` can tell the form.

    Keras' functions are traced for all shapes at once where labels have come in
    several: then only their values tell, and labels become rows.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    rank = getattr(y_true.shape, "rank", 0)
    if rank is not None and not (rank == 2 and y_true.shape[-1] is None):
        return y_true, y_pred
    size = ops.shape(y_pred)[0]
    width = y_pred.shape[-1]

    def rows():
        return ops.cast(ops.reshape(y_true, (size, width)), y_pred.dtype)

    def rows_of_numbers():
        numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return ops.one_hot(numbers, width, dtype=y_pred.dtype)

    return ops.cond(ops.size(y_true) == size * width, rows, rows_of_numbers), y_pred


@keras.saving.register_keras_serializable("tlkeras")
class Huber(keras.losses.Huber):
    """Keras' Huber loss, which keeps its `delta` in a file: Keras' own (3.15) does not.

    Args:
        delta: From which error on the loss grows no faster than the error.

    Call arguments: as those of `keras.losses.Huber`.

    Example:

    >>> Huber(delta=3.0).get_config()["delta"]
    3.0
    """

    def __init__(self, delta=1.0, **kwargs):
        super().__init__(delta=delta, **kwargs)
        self.delta = delta

    def get_config(self):
        return {**super().get_config(), "delta": self.delta}


def whole_loss(loss: Any) -> Any:
    """Returns a loss whose config says all of it; of all but Huber's it is the same.

    Args:
        loss: A Keras loss, or anything else.
    """
    if type(loss) is not keras.losses.Huber:
        return loss
    settings = _keras.loss_settings(loss)
    return Huber(**settings, reduction=loss.reduction, name=loss.name, dtype=loss.dtype)


def _are_rows(y_true: Any, y_pred: Any) -> bool:
    """Whether `y_true` holds a row for each example, not a class number."""
    return len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1] != 1


def classifier_loss(
    loss: Any = None, *, multi_label: bool, label_smoothing: float = 0.0
) -> Any:
    """Returns the loss that a classifier is compiled with.

    Args:
        loss: `None` for cross-entropy; `"focal"`; or a Keras loss, its name, or a
            function of labels and probabilities.
        multi_label: Whether labels are not exclusive.
        label_smoothing: Share of each label spread over all classes, in [0, 1).

    Returns:
        A loss. Keras' own take class numbers as well as rows, or weights of labels;
        a function or an object of the user's own stays what it is.

    Raises:
        ValueError: If there is no such loss, it takes logits, or labels are to be
            smoothed by a loss that is not of the first two kinds.

    Reference:
        Lin et al., Focal Loss for Dense Object Detection (2017).
    """
    smoothing = check_number("label_smoothing", label_smoothing, minimum=0, below=1)
    if loss is None:
        if not multi_label:
            return ClassCrossentropy(smoothing)
        return LabelLoss(keras.losses.BinaryCrossentropy(label_smoothing=smoothing))
    if isinstance(loss, str) and loss == "focal":
        if multi_label:
            focal = keras.losses.BinaryFocalCrossentropy(label_smoothing=smoothing)
            return LabelLoss(focal)
        # What Keras calls alpha is but a factor on the whole; `class_weight` balances.
        return ClassLoss(
            keras.losses.CategoricalFocalCrossentropy(
                alpha=1.0, label_smoothing=smoothing
            )
        )
    if smoothing:
        raise ValueError(
            "`label_smoothing` goes with loss=None and loss='focal'; set it in your "
            "own loss: keras.losses.CategoricalCrossentropy(label_smoothing=0.1). "
            f"Received: label_smoothing={label_smoothing!r}, loss={loss!r}."
        )
    found = find_loss(loss, ours=("focal",))
    if getattr(found, "from_logits", False):
        raise ValueError(
            "The model's outputs are probabilities; a loss with from_logits=True would "
            f"take them for logits. Received: loss={loss!r}."
        )
    if multi_label:
        return LabelLoss(found) if _is_one_of(found, _BINARY) else found
    return ClassLoss(found) if takes_rows(found) else found


def find_loss(
    loss: Any, ours: Sequence[str] = ()
) -> keras.losses.Loss | Callable[[Any, Any], Any]:
    """Returns a loss by its name, or what came, if it is one.

    Args:
        loss: A Keras loss, its name, or a function.
        ours: Names that the caller knows besides, for the message.

    Raises:
        ValueError: If Keras has no such loss, or it is neither a loss nor a function.
    """
    try:
        found = keras.losses.get(loss)
    except ValueError:
        found = None
    if found is not None:
        return whole_loss(found)
    if not isinstance(loss, str):
        raise ValueError(
            "`loss` must be a Keras loss, its name, or a function of labels and "
            f"outputs. Received: loss={loss!r}."
        )
    names = [
        name
        for name in dir(keras.losses)
        if name[0] != "_"
        and name.islower()
        and name not in ("get", "serialize", "deserialize")
    ]
    raise unknown_name("loss", loss, [*ours, *names])


def _is_one_of(loss: Any, losses: Sequence[Any]) -> bool:
    kind = keras.losses.Huber if type(loss) is Huber else type(loss)
    return any(loss is known or kind is known for known in losses)


def _is_of_keras(loss: Any) -> bool:
    public = vars(keras.losses).values()
    return _is_one_of(loss, [known for known in public if callable(known)])


def takes_logits(loss: Any) -> bool | None:
    """Returns whether a loss takes logits (True) or probabilities; `None`: not told.

    Args:
        loss: A loss, its name, a function, or `None`.
    """
    found = _known(loss)
    if isinstance(found, _Around):
        return takes_logits(found.loss)
    value = getattr(found, "from_logits", None)
    if value is None and callable(found) and not isinstance(found, keras.losses.Loss):
        with contextlib.suppress(TypeError, ValueError):
            parameter = inspect.signature(found).parameters.get("from_logits")
            value = parameter and parameter.default
    return value if isinstance(value, bool) else None


def _known(loss: Any) -> Any:
    """Returns what `find_loss` does; `None` where there is none, or Keras has none."""
    try:
        return None if loss is None else find_loss(loss)
    except ValueError:
        return None


def is_hinge(loss: Any) -> bool:
    """Whether a loss of Keras tells two classes apart by the sign of the output.

    Args:
        loss: A loss, its name, a function, or `None`.
    """
    found = _known(loss)
    return _is_one_of(found, _HINGES)


def takes_rows(loss: Any) -> bool:
    """Whether a loss is one of Keras that takes a row of labels for each example.

    Args:
        loss: A loss, its name, a function, or `None`.
    """
    found = _known(loss)
    return _is_of_keras(found) and not _is_one_of(found, _NO_ROWS)


def check_label_form(loss: Any, labels: Any, units: int, part: str) -> None:
    """Raises `ValueError` where a loss of Keras takes labels of another form.

    Some such labels would be broadcast, and something else be learnt.

    Args:
        loss: What the model was compiled with.
        labels: Class numbers or rows, an array.
        units: Width of the model's output.
        part: What the data are called.
    """
    found = _known(loss)
    numbers = labels.ndim == 1 or labels.shape[-1] == 1
    if units == 1 or not _is_of_keras(found):
        return
    if not numbers and _is_one_of(found, _NUMBER_LOSSES):
        mend = "Pass class numbers, `y.argmax(axis=1)`, or compile the model with "
        mend += "'categorical_crossentropy'."
    elif numbers and takes_rows(found):
        mend = f"Pass rows of {units}, such as `keras.utils.to_categorical(y, {units})`"
        mend += ", or compile the model with 'sparse_categorical_crossentropy'."
    else:
        return
    name = _name_of(found)
    raise ValueError(
        f"Labels in `{part}` have shape {labels.shape}, which the loss {name!r} does "
        f"not take. {mend}"
    )


def check_metric_form(metrics: Any, labels: Any, units: int, about: str) -> None:
    """Raises `ValueError` where a metric of Keras takes labels of another form.

    Keras would fail inside of a graph, or broadcast them and measure something else.

    Args:
        metrics: What the model was compiled with for this output: metrics, names,
            functions, or `None`.
        labels: Class numbers or rows, an array.
        units: Width of the model's output.
        about: What the labels are called.
    """
    if units == 1:
        return
    numbers = labels.ndim == 1 or labels.shape[-1] == 1
    for metric in keras.tree.flatten(metrics):
        # Keras itself looks at the labels for what these stand for.
        if metric is None or str(metric).lower() in ("accuracy", "acc"):
            continue
        try:
            found = keras.metrics.get(metric)
        except ValueError:
            continue
        if not _is_one_of(found, _METRICS_OF_KERAS) or _takes(found, numbers):
            continue
        name = metric if isinstance(metric, str) else _name_of(found)
        if numbers:
            mend = "'accuracy' and 'sparse_categorical_accuracy' take class numbers; "
            mend += f"rows are made by `keras.utils.to_categorical(y, {units})`, with "
            mend += "the loss 'categorical_crossentropy'"
        else:
            mend = "'accuracy' and 'categorical_accuracy' take rows; class numbers are "
            mend += "`y.argmax(axis=1)`, with 'sparse_categorical_crossentropy'"
        raise ValueError(
            f"{about} have shape {labels.shape}, which the metric {name!r} does not "
            f"take: {mend}. Metrics that a builder of tlkeras is given, "
            "`tl.Classes(..., metrics=[...])`, take both."
        )


def is_mean_loss(loss: Any) -> bool:
    """Whether a loss of Keras is the mean over an example's outputs."""
    return _is_one_of(loss, _MEAN_LOSSES)


def is_mean_metric(metric: keras.metrics.Metric) -> bool:
    """Whether a metric of Keras is the mean over an example's outputs."""
    return type(metric) in _MEAN_METRICS


def find_metric(
    metric: Any, accuracy: type[keras.metrics.Metric] | None
) -> keras.metrics.Metric:
    """Returns a metric by its name, or what came, as an object.

    Args:
        metric: A Keras metric, its name, or a function of labels and outputs.
        accuracy: What `"accuracy"` stands for; `None` for what Keras takes it for.

    Raises:
        ValueError: If Keras has no such metric, or it is none.
    """
    if metric in ("accuracy", "acc") and accuracy is not None:
        return accuracy(metric)
    try:
        found = keras.metrics.get(metric)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            "`metrics` of a head must be Keras metrics, their names, or functions of "
            f"labels and outputs. Received: {metric!r}."
        )
    if not isinstance(found, keras.metrics.Metric):
        found = keras.metrics.MeanMetricWrapper(found, name=found.__name__)
    if isinstance(metric, str):
        found.name = metric
    return found


def _takes(metric: Any, numbers: bool) -> bool:
    """Whether a metric of Keras takes class numbers (`numbers`), or rows, as labels."""
    if not hasattr(metric, "sparse_y_true") or isinstance(
        metric, keras.metrics.BinaryIoU
    ):
        return _takes_numbers(metric) is numbers
    return metric.sparse_y_true is numbers and not metric.sparse_y_pred


def _takes_numbers(metric: Any) -> bool:
    """Whether a metric of Keras, or its function, takes class numbers, not rows."""
    # A function that was wrapped has its name.
    return isinstance(metric, _NUMBER_METRICS) or (
        _name_of(metric).startswith("sparse_")
    )


def _name_of(one: Any) -> str:
    """Returns the name of a loss, of a metric or of a function that is either."""
    return getattr(one, "name", None) or one.__name__


def class_metric(metric: Any, accuracy: type[keras.metrics.Metric]) -> Any:
    """Returns a metric of exclusive classes that takes labels as the losses do.

    Args:
        metric: As in `find_metric`.
        accuracy: As in `find_metric`.

    Returns:
        A `ClassMetric` of Keras' own metrics; a function or an object of the user's own
        stays what it is.
    """
    found = find_metric(metric, accuracy)
    theirs = isinstance(metric, str) or _is_one_of(metric, _METRICS_OF_KERAS)
    # Some count pixels, and have a switch of their own.
    return (
        metric if not theirs or hasattr(found, "sparse_y_true") else ClassMetric(found)
    )


class MetricAround(keras.metrics.Metric):
    """A metric that gives another one labels of another form.

    Args:
        metric: The other, a `keras.metrics.Metric`.
    """

    def __init__(self, metric):
        super().__init__(name=metric.name)
        self.metric = metric
        _keras.keep_direction(self, metric)

    def result(self):
        return self.metric.result()

    def reset_state(self):
        self.metric.reset_state()


@keras.saving.register_keras_serializable("tlkeras")
class ClassMetric(MetricAround):
    """Lets a metric of exclusive classes take class numbers and rows alike.

    Keras looks at the first labels that come, and takes all others for the same.

    Args:
        metric: A `keras.metrics.Metric`, of class numbers or of rows.

    Example:

    >>> metric = ClassMetric(keras.metrics.SparseCategoricalAccuracy())
    >>> float(metric([[0.0, 1.0]], [[0.2, 0.8]])), float(metric([1], [[0.2, 0.8]]))
    (1.0, 1.0)
    """

    def __init__(self, metric):
        super().__init__(metric)
        self.takes_numbers = _takes_numbers(metric)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = _of_known_form(y_true, y_pred)
        rows = _are_rows(y_true, y_pred)
        if not rows:
            y_true = ops.reshape(y_true, (-1,))
        if rows and self.takes_numbers:
            y_true = ops.argmax(y_true, axis=-1)
        elif not rows and not self.takes_numbers:
            numbers = ops.cast(y_true, "int32")
            y_true = ops.one_hot(numbers, y_pred.shape[-1], dtype=y_pred.dtype)
        self.metric.update_state(y_true, y_pred, sample_weight=sample_weight)

    def get_config(self):
        return {"metric": keras.metrics.serialize(self.metric)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.metrics.deserialize(config["metric"]))
