"""Figures for exclusive classes: functions of class numbers and probabilities."""

from collections.abc import Sequence

import numpy as np

from tlkeras.evaluation._table import ClassTable, class_table


def predictions(probabilities: np.ndarray) -> np.ndarray:
    """Returns the most probable class of each example, the first of equals.

    Args:
        probabilities: Array of shape `(n, classes)`.

    Returns:
        Class numbers, int64 of shape `(n,)`.

    Example:
    >>> predictions(np.array([[0.8, 0.2], [0.4, 0.6]])).tolist()
    [0, 1]
    """
    return probabilities.argmax(axis=1)


def metrics(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """Computes accuracy, log loss and macro averages.

    The macro averages are plain means over all classes of the model; a class
    without examples that is never predicted counts as 0 in them.

    Args:
        y_true: Class numbers, integers of shape `(n,)`.
        probabilities: Array of shape `(n, classes)`, rows summing to 1.
        sample_weight: Weights of shape `(n,)` for the loss. Defaults to 1 each.

    Returns:
        Dictionary with `"accuracy"`, `"loss"` (in nats), `"macro_precision"`,
        `"macro_recall"` and `"macro_f1"`.

    Example:
    >>> probabilities = np.array([[0.8, 0.2], [0.4, 0.6]], "float32")
    >>> metrics(np.array([0, 0]), probabilities)["accuracy"]
    0.5
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    y_pred = predictions(probabilities)
    precision, recall, f1, _ = precision_recall_fscore_support(
        y_true,
        y_pred,
        labels=range(probabilities.shape[1]),
        average="macro",
        zero_division=0,
    )
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "loss": _loss(y_true, probabilities, sample_weight),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
        "macro_f1": float(f1),
    }


def confusion(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts examples by true class (row) and predicted class (column).

    Args:
        y_true: Class numbers, integers of shape `(n,)`.
        probabilities: Array of shape `(n, classes)`.

    Returns:
        Integer array of shape `(classes, classes)`.

    Example:
    >>> probabilities = np.array([[0.8, 0.2], [0.4, 0.6]])
    >>> confusion(np.array([0, 0]), probabilities).tolist()
    [[1, 1], [0, 0]]
    """
    from sklearn.metrics import confusion_matrix

    classes = range(probabilities.shape[1])
    return confusion_matrix(y_true, predictions(probabilities), labels=classes)


def per_class(
    y_true: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> ClassTable:
    """Computes precision, recall, F1 and support of every class.

    Args:
        y_true: Class numbers, integers of shape `(n,)`.
        probabilities: Array of shape `(n, classes)`.
        class_names: One name per class.

    Returns:
        `ClassTable` in the order of the classes; 0 where a figure is undefined.

    Example:
    >>> probabilities = np.array([[0.8, 0.2], [0.4, 0.6]])
    >>> table = per_class(np.array([0, 0]), probabilities, ["cat", "dog"])
    >>> table[0]["recall"]
    0.5
    """
    from sklearn.metrics import precision_recall_fscore_support

    figures = precision_recall_fscore_support(
        y_true,
        predictions(probabilities),
        labels=range(probabilities.shape[1]),
        zero_division=0,
    )
    return class_table(class_names, figures)


def _loss(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    sample_weight: np.ndarray | None,
) -> float:
    from sklearn.metrics import log_loss

    # Low-precision rows may sum to a little more or less than 1.
    rows = probabilities / probabilities.sum(axis=1, keepdims=True)
    classes = range(probabilities.shape[1])
    return float(log_loss(y_true, rows, labels=classes, sample_weight=sample_weight))
