"""Sample weights made of labels: what counts more in the loss, and by how much."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_number, did_you_mean
from tlkeras.features.sampling import (
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

    >>> weighing = resolve_weighing({0: 1, 1: 3}, task="classification", num_classes=2)
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


def resolve_weighing(
    class_weight: Any,
    *,
    task: str | None = None,
    num_classes: int | None = None,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    loss: Any = None,
) -> Weighing | None:
    """Makes what weighs the examples of a training.

    Args:
        class_weight: `None`; a mapping from every class, its number or its name, to its
            weight, which for labels that are not exclusive is that of examples that
            have the label, against 1 for those that have not; or `"balanced"`, of which
            the mean over the training examples is 1:

            - classes count the same in total, as in scikit-learn;
            - of each label, examples that have it and those that have not count the
              same in total, but one at most 100 times as much as the other;
            - targets weigh the inverse of their density, smoothed, but one at most 100
              times as much as another; of several outputs the mean.
        task: `"classification"`, `"multi_label"` or `"regression"`; `None` where it is
            not known, and labels and loss tell it.
        num_classes: Number of classes, or of a model's outputs; `None` where it is not
            known.
        labels: All labels of the training examples, an array; `None` where they are not
            known beforehand.
        class_names: The classes' names in the order of their numbers.
        loss: What the model was compiled with, to be checked against the weights.

    Returns:
        A `Weighing`, or `None` where there is nothing to weigh.

    Raises:
        ValueError: If `class_weight` is none of the above, is a mapping in a
            regression, does not fit the loss, or needs labels that are not known.

    Reference:
        King and Zeng, Logistic Regression in Rare Events Data (2001); Yang et al.,
        Delving into Deep Imbalanced Regression (2021).
    """
    if class_weight is None:
        return None
    labels = None if labels is None else np.asarray(labels)
    _check_kind(class_weight, labels)
    balanced = not isinstance(class_weight, Mapping)
    task = task or task_of(labels if balanced else None, loss, num_classes)
    if task == "regression":
        if not balanced:
            raise ValueError(
                "`class_weight` of a regression can be 'balanced' alone: it has no "
                f"classes. Received: class_weight={class_weight!r}."
            )
        return Weighing(_target_rule(balanced_target_bins(labels)))
    count = _count_classes(class_weight, task, num_classes, labels)
    listed = None if balanced else _listed(class_weight, count, class_names)
    if task == "multi_label":
        _check_loss(loss, count)
        both = _balanced_label_weights(labels) if balanced else (1.0, listed)
        return Weighing(_label_rule(*both))
    return Weighing(
        _class_rule(balanced_class_weights(labels, count) if balanced else listed)
    )


def _check_kind(class_weight: Any, labels: np.ndarray | None) -> None:
    if isinstance(class_weight, Mapping):
        return
    if not (isinstance(class_weight, str) and class_weight == "balanced"):
        similar = did_you_mean(class_weight, ["balanced"])
        raise ValueError(
            "`class_weight` must be 'balanced', or map each class number or name to "
            "its weight, as `data.class_weights()` does. Received: "
            f"class_weight={class_weight!r}."
            + (similar if isinstance(class_weight, str) else "")
        )
    if labels is None:
        raise ValueError(
            "class_weight='balanced' needs to know all training labels beforehand: "
            "pass a dataset of `Splits` or a tuple of arrays, or a mapping from each "
            "class number to its weight."
        )


def task_of(labels: np.ndarray | None, loss: Any, outputs: int | None) -> str:
    """Returns the task of a model that is not ours, as its loss and labels tell it.

    Args:
        labels: All labels of the training examples, `None` where they are not known.
        loss: What the model was compiled with.
        outputs: Number of the model's outputs, `None` where there is not one number.
    """
    name = str(getattr(loss, "name", getattr(loss, "__name__", loss)))
    is_binary = name.startswith("binary")
    if labels is None:
        several = is_binary and (outputs or 1) > 1
        return "multi_label" if several else "classification"
    if labels.ndim == 2 and labels.shape[1] > 1:
        if is_binary or np.all((labels == 0) | (labels == 1)):
            exclusive = not is_binary and np.all(labels.sum(axis=1) == 1)
            return "classification" if exclusive else "multi_label"
        sums_to_one = np.all(labels >= 0) and np.allclose(labels.sum(axis=1), 1.0)
        return "classification" if sums_to_one else "regression"
    is_whole = np.all(labels >= 0) and np.all(labels == np.round(labels))
    is_number = outputs == 1 and not is_binary
    return "classification" if is_whole and not is_number else "regression"


def _count_classes(
    class_weight: Any, task: str, outputs: int | None, labels: np.ndarray | None
) -> int:
    # One sigmoid output tells two classes apart.
    if outputs is not None:
        return 2 if outputs == 1 and task == "classification" else outputs
    if labels is not None and labels.ndim == 2 and labels.shape[1] > 1:
        return labels.shape[1]
    if labels is not None and task == "classification":
        return int(labels.max()) + 1
    return len(class_weight)


def _listed(
    class_weight: Mapping[Any, Any], count: int, names: Sequence[str] | None
) -> np.ndarray:
    """Returns a mapping's weights in the order of the classes."""
    numbers = [_number_of(key, names) for key in class_weight]
    if sorted(numbers) != list(range(count)):
        named = f" ({', '.join(map(repr, names[:10]))})" if names else ""
        raise ValueError(
            f"`class_weight` must map each class number from 0 to {count - 1}, or each "
            f"class name{named}, to its weight, as `data.class_weights()` does. "
            f"Received: class_weight={class_weight!r}."
        )
    weights = np.zeros(count)
    for number, (key, value) in zip(numbers, class_weight.items(), strict=True):
        weights[number] = check_number(f"class_weight[{key!r}]", value, minimum=0)
    return weights


def _number_of(key: Any, names: Sequence[str] | None) -> int:
    """Returns a class's number, -1 for what is neither number nor name."""
    if isinstance(key, str) and names is not None:
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


def _check_loss(loss: Any, count: int) -> None:
    """Raises `ValueError` where a loss has no value for each label."""
    if loss is None or isinstance(loss, (dict, list, tuple)):
        return
    known = keras.losses.get(loss)
    rows = keras.ops.full((3, count), 0.5)
    values = getattr(known, "call", known)(rows, rows)
    if tuple(values.shape) == tuple(rows.shape):
        return
    name = getattr(known, "name", getattr(known, "__name__", known))
    raise ValueError(
        f"`class_weight` gives each label of an example a weight of its own; {name!r} "
        "takes the mean over the labels before. Compile the model with "
        f"`loss=tlkeras.heads.LabelLoss({name!r})`, which has the same value, or "
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
