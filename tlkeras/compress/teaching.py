"""What a student learns from: labels with the teacher's answers beside them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras.features.extraction import Store, choose_store, extract
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.decoding import resize_image
from tlkeras.inputs.texts.tokens import tokenize
from tlkeras.outputs import find_loss

# Below it a probability gives no logit; float32 ends at 1e-38.
_TINY = 1e-30
# A sigmoid in float32 is 1 from there on.
_NEAR_ONE = 1e-7


def as_seen_by(model: keras.Model, examples: Examples) -> Examples:
    """Returns the examples at the model's own size.

    Files are read at it, arrays of pixels are resized as files are. So teacher and
    student may look at the same pictures at different sizes.

    Raises:
        ValueError: If the data are of another kind than the model's inputs.
    """
    takes_texts = getattr(model, "preprocessor", None) is not None
    if takes_texts != (examples.inputs_kind != "images"):
        raise ValueError(
            f"Model {model.name!r} takes {'texts' if takes_texts else 'pictures'}; the "
            f"data are {examples.inputs_kind}. Teacher and student must be for the "
            "same data."
        )
    if takes_texts:
        return examples
    height, width, channels = model.input_shape[1:]
    if isinstance(examples, ArrayExamples):
        return _resized(model, examples, (height, width), channels)
    size = (height or examples.image_size[0], width or examples.image_size[1])
    mode = "grayscale" if channels == 1 else "rgb"
    if (tuple(examples.image_size), examples.color_mode) == (size, mode):
        return examples
    twin = copy.copy(examples)
    twin.image_size, twin.color_mode = size, mode
    return twin.select(np.arange(len(twin)))


def with_labels(examples: Examples, labels: np.ndarray) -> Examples:
    """Returns the same examples with other labels."""
    twin = copy.copy(examples)
    twin.labels = labels
    return twin.select(np.arange(len(labels)))


def answers(
    teacher: keras.Model,
    examples: Examples,
    batch_size: int,
    cache: str | Path | bool,
    verbose: Any,
) -> np.ndarray:
    """Returns the teacher's outputs, computed once for each example."""
    order, preprocessor = None, getattr(teacher, "preprocessor", None)
    if preprocessor is not None:
        examples, order, _ = tokenize(examples, preprocessor)
    store = choose_store(cache) or Store(None)
    found = extract(teacher, examples, batch_size, store, verbose)
    if order is not None:
        found = found.at(np.argsort(order))
    return np.asarray(found.arrays[0], "float32")


def packed(labels: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """Returns labels and the teacher's answers in one row for each example."""
    rows = np.asarray(labels, "float32").reshape(len(labels), -1)
    return np.concatenate([rows, taught], axis=1)


class JointLoss(keras.losses.Loss):
    """The loss of the labels and of the teacher's answers, weighed.

    Heads end in probabilities. Their logarithms are the logits up to a constant, which
    softmax does not see; the logarithm of the odds is a sigmoid's logit.

    Args:
        loss: The student's own.
        task: `"classification"`, `"multi_label"` or `"regression"`.
        width: Columns of labels in front of the teacher's answers.
        temperature: What logits are divided by.
        alpha: The share of the student's own loss.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (2015).
    """

    def __init__(
        self, loss: Any, task: str, width: int, temperature: float, alpha: float
    ):
        super().__init__(name="distillation")
        self.loss, self.width, self.alpha = find_loss(loss), width, alpha
        self.soft_loss = _SOFT_LOSSES[task](temperature)

    def call(self, y_true, y_pred):
        labels, taught = _unpacked(y_true, self.width)
        soft = self.soft_loss(taught, y_pred)
        if not self.alpha:
            return soft
        return (
            self.alpha * ops.mean(self.loss(labels, y_pred)) + (1 - self.alpha) * soft
        )

    def get_config(self):
        return {"alpha": self.alpha, "width": self.width}


def joint_metric(task: str, width: int) -> keras.metrics.Metric:
    """Returns accuracy, or mean absolute error, against the labels alone."""

    def score(y_true, y_pred):
        labels, _ = _unpacked(y_true, width)
        return _SCORES[task](labels, y_pred)

    name = "mae" if task == "regression" else "accuracy"
    return keras.metrics.MeanMetricWrapper(score, name=name)


def _resized(
    model: keras.Model, examples: ArrayExamples, size: tuple, channels: int | None
) -> ArrayExamples:
    import tensorflow as tf

    given = tuple(examples.inputs.shape[1:])
    if channels not in (None, given[-1]):
        raise ValueError(
            f"Model {model.name!r} takes pictures of {channels} channel(s); those in "
            f"the array have {given[-1]}. Repeat or average the channels."
        )
    if all(want in (None, got) for want, got in zip(size, given, strict=False)):
        return examples
    pixels = tf.gather(examples.inputs, examples.rows)
    one = np.stack([resize_image(picture, size).numpy() for picture in pixels])
    return ArrayExamples(one, examples.labels)


def _unpacked(y_true: Any, width: int) -> tuple[Any, Any]:
    labels = y_true[:, :width]
    return (labels[:, 0] if width == 1 else labels), y_true[:, width:]


def _of_classes(temperature: float) -> Callable[[Any, Any], Any]:
    # By its name, Keras 3.15 would apply the divergence to logits as they are.
    divergence = keras.losses.KLDivergence()
    loss = keras.distillation.LogitsDistillation(temperature, divergence)

    def soft(taught, y_pred):
        logits = [ops.log(ops.maximum(p, _TINY)) for p in (taught, y_pred)]
        return loss.compute_loss(*logits)

    return soft


def _of_labels(temperature: float) -> Callable[[Any, Any], Any]:
    def soft(taught, y_pred):
        odds = []
        for p in (taught, y_pred):
            p = ops.clip(p, _NEAR_ONE, 1 - _NEAR_ONE)
            odds.append((ops.log(p) - ops.log(1 - p)) / temperature)
        wanted = ops.sigmoid(odds[0])
        losses = ops.binary_crossentropy(wanted, odds[1], from_logits=True)
        # What is left of it at the optimum, so that 0 is agreement.
        least = ops.binary_crossentropy(wanted, odds[0], from_logits=True)
        return ops.mean(losses - least) * temperature**2

    return soft


def _of_numbers(temperature: float) -> Callable[[Any, Any], Any]:
    return keras.distillation.FeatureDistillation("mse").compute_loss


_SOFT_LOSSES = {
    "classification": _of_classes,
    "multi_label": _of_labels,
    "regression": _of_numbers,
}


def _right_class(labels: Any, y_pred: Any) -> Any:
    if len(labels.shape) == 2:
        labels = ops.argmax(labels, axis=-1)
    return ops.equal(
        ops.cast(labels, "int32"), ops.cast(ops.argmax(y_pred, -1), "int32")
    )


_SCORES = {
    "classification": _right_class,
    "multi_label": keras.metrics.binary_accuracy,
    "regression": lambda y, p: ops.abs(ops.reshape(y, ops.shape(p)) - p),
}
