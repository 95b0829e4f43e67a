"""How well probabilities rank: ROC and precision-recall curves, class by class."""

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """A curve of one class against the rest.

    Attributes:
        x: False positive rate, or recall, of shape `(points,)`.
        y: True positive rate, or precision, of shape `(points,)`.
        area: Area under the ROC curve, or average precision.
    """

    x: np.ndarray
    y: np.ndarray
    area: float


def as_rows(y_true: np.ndarray, classes: int) -> np.ndarray:
    """Returns class numbers as rows of booleans; rows of zeros and ones as well.

    Args:
        y_true: Class numbers `(n,)` or zeros and ones `(n, classes)`.
        classes: The number of classes.
    """
    if y_true.ndim == 2:
        return y_true.astype(bool)
    return y_true[:, None] == np.arange(classes)


def areas(
    y_true: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the area under the ROC curve and average precision of every class.

    Args:
        y_true: Class numbers `(n,)` or zeros and ones `(n, classes)`.
        probabilities: Array of shape `(n, classes)`.

    Returns:
        Two arrays of shape `(classes,)`. NaN where a class has no examples, and
        for the ROC curve where it has all of them.

    Example:
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> areas(np.array([0, 1, 1]), p)[0].tolist()
    [1.0, 1.0]
    """
    truths = as_rows(y_true, probabilities.shape[1])
    columns = zip(truths.T, probabilities.T, strict=True)
    auc, precision = np.array([_areas(*column) for column in columns]).T
    return auc, precision


def _areas(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Returns both areas from one sorting, which with many classes is what costs."""
    from sklearn.metrics import auc, roc_curve

    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives:
        return np.nan, np.nan
    if not negatives:
        return np.nan, 1.0
    false_rate, recall, _ = roc_curve(truth, scores, drop_intermediate=False)
    # Without the first point, which takes nothing for positive.
    true, false = recall[1:] * positives, false_rate[1:] * negatives
    precision = (np.diff(recall) * true / (true + false)).sum()
    return float(auc(false_rate, recall)), float(precision)


def mean(values: np.ndarray) -> float:
    """Returns the mean of what is defined; NaN where nothing is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def roc_curve(truth: np.ndarray, scores: np.ndarray) -> Curve:
    """Computes the ROC curve of one class; both kinds of examples must be there."""
    from sklearn import metrics

    x, y, _ = metrics.roc_curve(truth, scores)
    return Curve(x, y, float(metrics.auc(x, y)))


def precision_recall_curve(truth: np.ndarray, scores: np.ndarray) -> Curve:
    """Computes the precision-recall curve of one class that has examples."""
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    area = float(metrics.average_precision_score(truth, scores))
    return Curve(recall, precision, area)
