"""Figures for labels that are not exclusive: functions of 0/1 and probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.metrics import ranking
from tlkeras.metrics.calibration import reliability
from tlkeras.metrics.table import FIGURES, ClassTable, class_table

# A threshold for all labels, or one for each.
Thresholds = float | np.ndarray


def predictions(probabilities: np.ndarray, thresholds: Thresholds = 0.5) -> np.ndarray:
    """Returns 1 where a label has a probability of its threshold or more, else 0.

    Args:
        probabilities: Array of shape `(n, labels)`.
        thresholds: One for all labels, or an array of shape `(labels,)`.

    Returns:
        Int64 array of the same shape.

    Example:
    >>> predictions(np.array([[0.9, 0.2]])).tolist()
    [[1, 0]]
    """
    return (probabilities >= thresholds).astype("int64")


def check_thresholds(thresholds: Any, labels: int) -> np.ndarray:
    """Returns thresholds as float32, or raises `ValueError`.

    Args:
        thresholds: A number from 0 to 1, or one per label.
        labels: How many labels there are.

    Returns:
        Array of shape `()` or `(labels,)`.

    Example:
    >>> check_thresholds(0.25, 3).item()
    0.25
    """
    try:
        values = np.asarray(thresholds, "float32")
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.shape not in ((), (labels,)) or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(
            "`thresholds` must be a number from 0 to 1, or one for each of the "
            f"{labels} label(s). Received: {thresholds!r}."
        )
    return values


def metrics(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    sample_weight: np.ndarray | None = None,
    thresholds: Thresholds = 0.5,
) -> dict[str, float]:
    """Computes exact-match accuracy, binary log loss, averages, ranking, calibration.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`, each value from 0 to 1.
        sample_weight: Weights of shape `(n,)` for the loss. Defaults to 1 each.
        thresholds: As in `predictions`.

    Returns:
        Dictionary with `"accuracy"` (share of examples with every label right),
        `"loss"` (binary cross-entropy in nats, mean over labels), `"ece"` (expected
        calibration error of all labels pooled, 15 bins), `"roc_auc"` and
        `"mean_average_precision"` (means over the labels that occur; NaN if none
        does) and, for macro (mean over labels), weighted (by how often a label
        occurs) and micro (all decisions pooled), precision, recall and F1:
        `"macro_precision"` and so on.

    Example:
    >>> probabilities = np.array([[0.9, 0.8], [0.2, 0.6]], "float32")
    >>> metrics(np.array([[1, 1], [0, 0]]), probabilities)["accuracy"]
    0.5
    """
    from sklearn.metrics import accuracy_score

    y_pred = predictions(probabilities, thresholds)
    auc, precision = ranking.areas(y_true, probabilities)
    result = {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "loss": _loss(y_true, probabilities, sample_weight),
        "ece": reliability(y_true, probabilities).ece,
        "roc_auc": ranking.mean(auc),
        "mean_average_precision": ranking.mean(precision),
    }
    for average in ("macro", "weighted", "micro"):
        figures = _scores(y_true, y_pred, average)[:3]
        named = zip(FIGURES, figures, strict=True)
        result.update((f"{average}_{name}", float(value)) for name, value in named)
    return result


def best_thresholds(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Finds for each label the threshold of the highest F1.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`.

    Returns:
        Float32 array of shape `(labels,)`: halfway between the last probability that
        is taken and the next one that is not; 0.5 for a label that never occurs.

    Example:
    >>> p = np.array([[0.1], [0.2], [0.4], [0.3]], "float32")
    >>> best_thresholds(np.array([[0], [1], [1], [1]]), p).round(2).tolist()
    [0.15000000596046448]

    Reference:
        Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize
        F1 Measure (2014).
    """
    columns = zip(y_true.T, probabilities.T, strict=True)
    return np.array([_best_threshold(*pair) for pair in columns], "float32")


def _best_threshold(truth: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import precision_recall_curve

    if not truth.any():
        return 0.5
    precision, recall, cuts = precision_recall_curve(truth, scores)
    total = precision + recall
    f1 = np.divide(
        2 * precision * recall, total, out=np.zeros_like(total), where=total > 0
    )
    # Of equals the highest threshold: it says the least that is not so.
    best = len(cuts) - 1 - int(f1[:-1][::-1].argmax())
    below = cuts[best - 1] if best else 0.0
    return (float(cuts[best]) + float(below)) / 2


def confusion(
    y_true: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5
) -> np.ndarray:
    """Counts, for each label by itself, examples by true (row) and predicted state.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`.
        thresholds: As in `predictions`.

    Returns:
        Integer array of shape `(labels, 2, 2)`: `[label, true, predicted]`.

    Example:
    >>> confusion(np.array([[1, 1]]), np.array([[0.9, 0.2]]))[1].tolist()
    [[0, 0], [1, 0]]
    """
    from sklearn.metrics import confusion_matrix

    y_pred = predictions(probabilities, thresholds)
    columns = zip(y_true.T, y_pred.T, strict=True)
    return np.stack([confusion_matrix(t, p, labels=(0, 1)) for t, p in columns])


def per_class(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: Thresholds = 0.5,
) -> ClassTable:
    """Computes precision, recall, F1 and support (positives) of every label.

    Args:
        y_true: Zeros and ones, integers of shape `(n, labels)`.
        probabilities: Array of shape `(n, labels)`.
        class_names: One name per label.
        thresholds: As in `predictions`.

    Returns:
        `ClassTable` in the order of the labels; 0 where a figure is undefined.

    Example:
    >>> y_true, probabilities = np.array([[1, 1], [1, 0]]), np.array([[0.9, 0.2]] * 2)
    >>> per_class(y_true, probabilities, ["red", "round"])[0]["support"]
    2
    """
    y_pred = predictions(probabilities, thresholds)
    return class_table(class_names, _scores(y_true, y_pred, None))


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
