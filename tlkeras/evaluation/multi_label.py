"""Figures for labels that are not exclusive: functions of 0/1 and probabilities."""

from collections.abc import Sequence

import numpy as np

from tlkeras.evaluation._table import ClassTable, class_table


def predictions(probabilities: np.ndarray) -> np.ndarray:
    """Returns 1 where a label has a probability of 0.5 or more, else 0.

    Args:
        probabilities: Array of shape `(n, labels)`.

    Returns:
        Int64 array of the same shape.

    Example:
    >>> predictions(np.array([[0.9, 0.2]])).tolist()
    [[1, 0]]
    """
    return (probabilities >= 0.5).astype("int64")


def metrics(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """Computes exact-match accuracy, binary log loss, macro and micro averages.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`, each value from 0 to 1.
        sample_weight: Weights of shape `(n,)` for the loss. Defaults to 1 each.

    Returns:
        Dictionary with `"accuracy"` (share of examples with every label right),
        `"loss"` (binary cross-entropy in nats, mean over labels) and, for macro
        (mean over labels) and micro (all decisions pooled), `"macro_precision"`,
        `"macro_recall"`, `"macro_f1"`, `"micro_precision"`, `"micro_recall"` and
        `"micro_f1"`.

    Example:
    >>> probabilities = np.array([[0.9, 0.8], [0.2, 0.6]], "float32")
    >>> metrics(np.array([[1, 1], [0, 0]]), probabilities)["accuracy"]
    0.5
    """
    from sklearn.metrics import accuracy_score

    y_pred = predictions(probabilities)
    result = {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "loss": _loss(y_true, probabilities, sample_weight),
    }
    for average in ("macro", "micro"):
        precision, recall, f1, _ = _scores(y_true, y_pred, average)
        result[f"{average}_precision"] = float(precision)
        result[f"{average}_recall"] = float(recall)
        result[f"{average}_f1"] = float(f1)
    return result


def confusion(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts, for each label by itself, examples by true (row) and predicted state.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`.

    Returns:
        Integer array of shape `(labels, 2, 2)`: `[label, true, predicted]`.

    Example:
    >>> confusion(np.array([[1, 1]]), np.array([[0.9, 0.2]]))[1].tolist()
    [[0, 0], [1, 0]]
    """
    from sklearn.metrics import confusion_matrix

    columns = zip(y_true.T, predictions(probabilities).T, strict=True)
    return np.stack([confusion_matrix(t, p, labels=(0, 1)) for t, p in columns])


def per_class(
    y_true: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> ClassTable:
    """Computes precision, recall, F1 and support (positives) of every label.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`.
        class_names: One name per label.

    Returns:
        `ClassTable` in the order of the labels; 0 where a figure is undefined.

    Example:
    >>> y_true, probabilities = np.array([[1, 1], [1, 0]]), np.array([[0.9, 0.2]] * 2)
    >>> per_class(y_true, probabilities, ["red", "round"])[0]["support"]
    2
    """
    return class_table(class_names, _scores(y_true, predictions(probabilities), None))


def _scores(y_true: np.ndarray, y_pred: np.ndarray, average: str | None) -> tuple:
    from sklearn.metrics import precision_recall_fscore_support

    labels = None
    if y_true.shape[1] == 1:
        # One column would pass for two exclusive classes; only the 1 is a label.
        y_true, y_pred, labels = y_true.ravel(), y_pred.ravel(), [1]
    return precision_recall_fscore_support(
        y_true, y_pred, labels=labels, average=average, zero_division=0
    )


def _loss(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    sample_weight: np.ndarray | None,
) -> float:
    from sklearn.metrics import log_loss

    labels = y_true.shape[1]
    positive = probabilities.ravel()
    weights = None if sample_weight is None else np.repeat(sample_weight, labels)
    rows = np.stack([1 - positive, positive], axis=1)
    return float(log_loss(y_true.ravel(), rows, labels=(0, 1), sample_weight=weights))
