"""Figures for exclusive classes: functions of class numbers and probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.metrics import ranking
from tlkeras.metrics.calibration import reliability
from tlkeras.metrics.table import FIGURES, ClassTable, class_table


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
    """Computes accuracy, log loss, averages over classes, ranking and calibration.

    Macro averages are plain means over all classes of the model; a class without
    examples that is never predicted counts as 0 in them. Balanced accuracy, `roc_auc`
    and `mean_average_precision` are means over the classes that have examples.

    Args:
        y_true: Class numbers, integers of shape `(n,)`.
        probabilities: Array of shape `(n, classes)`, rows summing to 1.
        sample_weight: Weights of shape `(n,)` for the loss. Defaults to 1 each.

    Returns:
        Dictionary with `"accuracy"`, `"balanced_accuracy"` (mean recall),
        `"top_5_accuracy"` (of more than 5 classes; `"top_2_accuracy"` of 3 to 5),
        `"loss"` (in nats), `"ece"` (expected calibration error, 15 bins), `"roc_auc"`
        and `"mean_average_precision"` (each class against the rest),
        `"macro_precision"`, `"macro_recall"`, `"macro_f1"`, the same as `"weighted_"`
        (by the number of examples), and `"micro_f1"`. A figure that is undefined is
        NaN.

    Example:
    >>> probabilities = np.array([[0.8, 0.2], [0.4, 0.6]], "float32")
    >>> metrics(np.array([0, 0]), probabilities)["accuracy"]
    0.5
    """
    y_pred = predictions(probabilities)
    auc, precision = ranking.areas(y_true, probabilities)
    return {
        **_hits(y_true, y_pred, probabilities),
        "loss": _loss(y_true, probabilities, sample_weight),
        "ece": reliability(y_true, probabilities).ece,
        "roc_auc": ranking.mean(auc),
        "mean_average_precision": ranking.mean(precision),
        **_averages(y_true, y_pred, probabilities.shape[1]),
    }


def _hits(
    y_true: np.ndarray, y_pred: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, recall_score, top_k_accuracy_score

    classes = probabilities.shape[1]
    found = {
        "accuracy": accuracy_score(y_true, y_pred),
        # `balanced_accuracy_score` warns where a class is only predicted.
        "balanced_accuracy": recall_score(
            y_true, y_pred, labels=np.unique(y_true), average="macro"
        ),
    }
    if classes > 2:
        k = 5 if classes > 5 else 2
        found[f"top_{k}_accuracy"] = top_k_accuracy_score(
            y_true, probabilities, k=k, labels=range(classes)
        )
    return {name: float(value) for name, value in found.items()}


def _averages(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support

    found = {}
    for average in ("macro", "weighted"):
        figures = precision_recall_fscore_support(
            y_true, y_pred, labels=range(classes), average=average, zero_division=0
        )
        named = zip(FIGURES, figures[:3], strict=True)
        found.update((f"{average}_{name}", float(value)) for name, value in named)
    # Of exclusive classes, micro precision, recall and F1 all are the accuracy.
    return {**found, "micro_f1": float(np.mean(y_true == y_pred))}


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


def most_confused(
    counts: np.ndarray, class_names: Sequence[str], n: int
) -> list[dict[str, Any]]:
    """Finds the pairs of classes that are confused most often.

    Args:
        counts: What `confusion` returned.
        class_names: One name per class.
        n: How many pairs at most.

    Returns:
        Dictionaries with `"true"`, `"predicted"`, `"count"` and `"share"` (of the
        examples of the true class), the highest count first.

    Example:
    >>> most_confused(np.array([[1, 3], [0, 2]]), ["cat", "dog"], 1)
    [{'true': 'cat', 'predicted': 'dog', 'count': 3, 'share': 0.75}]
    """
    errors = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-errors, axis=None, kind="stable")[:n]
    pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
    totals = counts.sum(axis=1)
    return [
        {
            "true": class_names[i],
            "predicted": class_names[j],
            "count": int(errors[i, j]),
            "share": float(errors[i, j] / totals[i]),
        }
        for i, j in pairs
        if errors[i, j]
    ]


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
