"""Sample weights made of labels: what counts more in the loss, and by how much."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_number, did_you_mean
from tlkeras.outputs.sampling import (
    GREATEST_RATIO,
    TargetBins,
    are_numbers,
    balanced_class_weights,
    balanced_target_bins,
)


class Weighing:
    """Weighs examples by their labels, in the data pipeline.

    Keras' own `class_weight` looks for the greatest number in each row of labels. Of
    mixed labels it would weigh but one, of labels that are not exclusive the first.

    Args:
        rule: From a batch of labels, a tensor, to float32 weights of shape `(batch,)`,
            or `(batch, labels)` where each label has its own.

    Example:

    >>> weighing = class_weighing({0: 1, 1: 3}, None, ("a", "b"))
    >>> weighing(np.array([0, 1])).numpy().tolist()
    [1.0, 3.0]
    """

    def __init__(self, rule: Callable[[Any], Any]):
        self._rule = rule

    def __call__(self, labels: Any, weights: Any = None) -> Any:
        """Returns the weights of a batch of labels.

        Args:
            labels: Class numbers, rows or targets, a tensor or an array.
            weights: Sample weights that the examples have already, `(batch,)`.

        Returns:
            float32 tensor, the product of both.

        Raises:
            ValueError: If an example has more labels than one row, such as a picture of
                them.
        """
        import tensorflow as tf

        labels = tf.convert_to_tensor(labels)
        if len(labels.shape) not in (1, 2):
            raise ValueError(
                "`class_weight` weighs examples with one label or one row of labels "
                f"each. Received: labels of shape {labels.shape}."
            )
        found = self._rule(labels)
        if weights is None:
            return found
        weights = tf.cast(weights, "float32")
        if found.shape.rank == 1 and weights.shape.rank == 1:
            return found * weights
        found, weights = (
            part[:, None] if part.shape.rank == 1 else part for part in (found, weights)
        )
        return found * weights

    def over(self, batches: Any) -> Any:
        """Returns a dataset of the same batches with their weights.

        Args:
            batches: `tf.data.Dataset` of `(inputs, labels)` or
                `(inputs, labels, weights)`, labels as the loss gets them.

        Returns:
            `tf.data.Dataset` of `(inputs, labels, weights)`, in the same order.
        """
        import tensorflow as tf

        @tf.autograph.experimental.do_not_convert
        def weigh(inputs, labels, *weights):
            return inputs, labels, self(labels, *weights)

        return batches.map(
            weigh, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )


def check_kind(class_weight: Any) -> None:
    """Raises `ValueError` unless these are a mapping, `"balanced"` or `None`."""
    if class_weight is None or isinstance(class_weight, Mapping):
        return
    if isinstance(class_weight, str) and class_weight == "balanced":
        return
    similar = did_you_mean(class_weight, ["balanced"])
    raise ValueError(
        "`class_weight` must be 'balanced', or map each class number or name to "
        "its weight, as `data.class_weights()` does. Received: "
        f"class_weight={class_weight!r}."
        + (similar if isinstance(class_weight, str) else "")
    )


def class_weighing(
    class_weight: Any, labels: np.ndarray | None, names: Sequence[str]
) -> Weighing | None:
    """Makes what weighs examples of exclusive classes.

    Args:
        class_weight: `None`; from every class, its number or its name, to its weight;
            or `"balanced"`: classes count the same in total, as in scikit-learn, and
            the mean over the training examples is 1.
        labels: All labels of the training examples, numbers or rows; `None` where they
            are not known beforehand.
        names: The classes' names in the order of their numbers.

    Raises:
        ValueError: If `class_weight` is none of these, or needs labels that are not
            known.
    """
    check_kind(class_weight)
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        return Weighing(_class_rule(_listed(class_weight, names)))
    weights = balanced_class_weights(_needed(labels), len(names))
    return Weighing(_class_rule(weights))


def label_weighing(
    class_weight: Any,
    labels: np.ndarray | None,
    names: Sequence[str],
    loss: Any = None,
) -> Weighing | None:
    """Makes what weighs the labels of examples that may have several.

    Args:
        class_weight: `None`; from every label, its number or its name, to the weight of
            examples that have it, against 1 for those that have not; or `"balanced"`:
            of each label, examples that have it and those that have not count the same
            in total, but one at most 100 times as much as the other.
        labels: Rows of all training examples; `None` where they are not known
            beforehand.
        names: The labels' names.
        loss: What the model was compiled with, to be checked against the weights.

    Raises:
        ValueError: If `class_weight` is none of these, needs labels that are not known,
            or does not fit the loss.
    """
    check_kind(class_weight)
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        both = 1.0, _listed(class_weight, names)
    else:
        both = _balanced_label_weights(_needed(labels))
    _check_loss(loss, len(names))
    return Weighing(_label_rule(*both))


def target_weighing(class_weight: Any, labels: np.ndarray | None) -> Weighing | None:
    """Makes what weighs examples of a regression.

    Args:
        class_weight: `None`, or `"balanced"`: targets weigh the inverse of their
            density, smoothed, but one at most 100 times as much as another; of several
            outputs the mean.
        labels: Targets of all training examples; `None` where they are not known
            beforehand.

    Raises:
        ValueError: If `class_weight` is neither, or needs targets that are not known.
    """
    check_kind(class_weight)
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        raise ValueError(
            "`class_weight` of a regression can be 'balanced' alone: it has no "
            f"classes. Received: class_weight={class_weight!r}."
        )
    return Weighing(_target_rule(balanced_target_bins(_needed(labels))))


def _needed(labels: np.ndarray | None) -> np.ndarray:
    if labels is None:
        raise ValueError(
            "class_weight='balanced' needs to know all training labels beforehand: "
            "pass a dataset of `Splits` or a tuple of arrays, or a mapping from each "
            "class number to its weight."
        )
    return np.asarray(labels)


def _listed(class_weight: Mapping[Any, Any], names: Sequence[str]) -> np.ndarray:
    """Returns a mapping's weights in the order of the classes."""
    count, numbers = len(names), [_number_of(key, names) for key in class_weight]
    if sorted(numbers) != list(range(count)):
        named = f" ({', '.join(map(repr, names[:10]))})"
        raise ValueError(
            f"`class_weight` must map each class number from 0 to {count - 1}, or each "
            f"class name{named}, to its weight, as `data.class_weights()` does. "
            f"Received: class_weight={class_weight!r}."
        )
    weights = np.zeros(count)
    for number, (key, value) in zip(numbers, class_weight.items(), strict=True):
        weights[number] = check_number(f"class_weight[{key!r}]", value, minimum=0)
    return weights


def _number_of(key: Any, names: Sequence[str]) -> int:
    """Returns a class's number, -1 for what is neither number nor name."""
    if isinstance(key, str):
        return list(names).index(key) if key in names else -1
    return int(key) if hasattr(key, "__index__") else -1


def _balanced_label_weights(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each label's weight of examples without it, and of those that have it."""
    having = rows.sum(axis=0, dtype="float64")
    without = len(rows) - having
    ratio = np.divide(
        without, having, out=np.ones_like(having), where=(having > 0) & (without > 0)
    )
    ratio = np.clip(ratio, 1 / GREATEST_RATIO, GREATEST_RATIO)
    less = len(rows) / (ratio * having + without)
    return less, less * ratio


def has_value_for_each(loss: Any, count: int) -> bool:
    """Tells whether a loss has a value for each label of an example, before any mean.

    Args:
        loss: A loss of Keras, its name, or a function.
        count: How many labels there are.
    """
    known = keras.losses.get(loss)
    rows = keras.ops.full((3, count), 0.5)
    values = getattr(known, "call", known)(rows, rows)
    return tuple(values.shape) == tuple(rows.shape)


def _check_loss(loss: Any, count: int) -> None:
    """Raises `ValueError` where a loss has no value for each label."""
    if loss is None or isinstance(loss, (dict, list, tuple)):
        return
    if has_value_for_each(loss, count):
        return
    known = keras.losses.get(loss)
    name = getattr(known, "name", getattr(known, "__name__", known))
    raise ValueError(
        f"`class_weight` gives each label of an example a weight of its own; {name!r} "
        "takes the mean over the labels before. Compile the model with "
        f"`loss=tlkeras.outputs.LabelLoss({name!r})`, which has the same value, or "
        "with `LabelLoss(...)` around a loss of your own."
    )


def _class_rule(weights: np.ndarray) -> Callable[[Any], Any]:
    import tensorflow as tf

    def rule(labels):
        table = tf.constant(weights, "float32")
        if are_numbers(labels.shape, len(weights)):
            return tf.gather(table, tf.cast(tf.reshape(labels, [-1]), "int32"))
        return tf.linalg.matvec(tf.cast(labels, "float32"), table)

    return rule


def _label_rule(without: Any, having: np.ndarray) -> Callable[[Any], Any]:
    import tensorflow as tf

    def rule(labels):
        labels = tf.cast(labels, "float32")
        low, high = tf.constant(without, "float32"), tf.constant(having, "float32")
        return labels * high + (1.0 - labels) * low

    return rule


def _target_rule(outputs: Sequence[TargetBins]) -> Callable[[Any], Any]:
    import tensorflow as tf

    def rule(targets):
        targets = tf.cast(targets, "float32")
        targets = tf.reshape(targets, [-1, len(outputs)])
        found = [
            tf.gather(
                tf.constant(bins.weights, "float32"),
                tf.searchsorted(bins.edges, targets[:, output], side="right"),
            )
            for output, bins in enumerate(outputs)
        ]
        return tf.add_n(found) / len(outputs)

    return rule
