"""Whether probabilities keep what they promise: reliability and temperature."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15
# Temperatures outside of this are no calibration any more.
_LOWEST, _HIGHEST = 0.05, 20.0
# A sigmoid's output next to 1 is no finer than this.
_SIGMOID_FLOOR = 1e-7


@dataclass(frozen=True)
class Reliability:
    """Confidence and what it is worth, in bins of equal width.

    Attributes:
        edges: Edges of the bins, of shape `(bins + 1,)`; the upper one is part.
        confidence: Mean confidence in each bin, NaN where it is empty.
        accuracy: Share of hits in each bin, NaN where it is empty.
        count: Number of predictions in each bin.
        ece: Expected calibration error: the mean gap between both, weighted with
            the count. It depends on the number of bins.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float


def reliability(
    y_true: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> Reliability:
    """Compares confidence with accuracy.

    Of exclusive classes, the probability of the predicted class with the share that
    is right; of labels that are not exclusive, each label's probability with the
    share that has it, all labels pooled.

    Args:
        y_true: Class numbers `(n,)` or zeros and ones `(n, labels)`.
        probabilities: Array of shape `(n, classes)`.
        bins: Number of bins of equal width.

    Returns:
        A `Reliability`.

    Example:
    >>> p = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.8, 0.2]])
    >>> round(reliability(np.array([0, 0, 0, 1]), p).ece, 3)
    0.05

    Reference:
        Guo et al., On Calibration of Modern Neural Networks (2017), section 2.
    """
    if y_true.ndim == 2:
        confidence, hits = probabilities.ravel(), y_true.ravel()
    else:
        confidence = probabilities.max(axis=1)
        hits = probabilities.argmax(axis=1) == y_true
    confidence = confidence.astype("float64")
    edges = np.linspace(0, 1, bins + 1)
    place = np.digitize(confidence, edges[1:-1], right=True)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, bins) / count
        accuracy = np.bincount(place, hits, bins) / count
    gaps = np.nan_to_num(np.abs(accuracy - mean_confidence))
    ece = float((gaps * count).sum() / count.sum())
    return Reliability(edges, mean_confidence, accuracy, count, ece)


def scaled(
    probabilities: np.ndarray, temperature: float, exclusive: bool
) -> np.ndarray:
    """Returns the probabilities of the same logits, divided by a temperature.

    Args:
        probabilities: Array of shape `(n, classes)`.
        temperature: Above 1 for less confidence, below 1 for more.
        exclusive: Whether rows sum to 1.

    Returns:
        Float64 array of the same shape.
    """
    from scipy.special import expit, softmax

    logits = _logits(probabilities, exclusive) / temperature
    return softmax(logits, axis=1) if exclusive else expit(logits)


def scaled_thresholds(thresholds: Any, temperature: float) -> np.ndarray:
    """Returns thresholds that decide after scaling as `thresholds` did before.

    Args:
        thresholds: One or several, each from 0 to 1.
        temperature: What the logits are divided by.

    Example:
    >>> scaled_thresholds([0.5, 0.9], 2.0).round(2).tolist()
    [0.5, 0.75]
    """
    from scipy.special import expit, logit

    # 0 and 1 stay: their logits are infinite.
    return expit(logit(np.asarray(thresholds, "float64")) / temperature)


def log_loss(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean log loss in nats; over labels, too, where they are several."""
    return float(losses(y_true, probabilities).mean())


def losses(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the log loss of each example, in nats; the mean over its labels.

    Args:
        y_true: Class numbers `(n,)` or zeros and ones `(n, labels)`.
        probabilities: Array of shape `(n, classes)`.
    """
    floor = np.finfo("float32").eps
    if y_true.ndim == 1:
        truth = probabilities[np.arange(len(y_true)), y_true].astype("float64")
        return -np.log(np.clip(truth, floor, 1))
    truth = np.where(y_true == 1, probabilities, 1 - probabilities).astype("float64")
    return -np.log(np.clip(truth, floor, 1)).mean(axis=1)


def fit_temperature(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Finds the temperature of the least log loss.

    Args:
        y_true: Class numbers `(n,)` or zeros and ones `(n, labels)`.
        probabilities: Array of shape `(n, classes)`.

    Returns:
        The temperature. 1 where no other lowers the log loss without raising the
        calibration error, and where there is no least loss, because no prediction
        is wrong.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks (2017), section 4.2.
    """
    from scipy.optimize import minimize_scalar

    exclusive = y_true.ndim == 1
    y_pred = probabilities.argmax(axis=1) if exclusive else probabilities >= 0.5
    if np.array_equal(y_pred, y_true):
        # The more confident, the better: there is no least loss.
        return 1.0
    at = functools.partial(scaled, probabilities, exclusive=exclusive)
    logits = _logits(probabilities, exclusive)
    found = minimize_scalar(
        lambda log: _nats(y_true, logits / np.exp(log)),
        bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    temperature = float(np.exp(found.x))
    before, after = at(1.0), at(temperature)
    worse = log_loss(y_true, after) >= log_loss(y_true, before) or (
        reliability(y_true, after).ece > reliability(y_true, before).ece
    )
    return 1.0 if worse else temperature


def is_extreme(temperature: float) -> bool:
    """Whether a temperature is as high or as low as `fit_temperature` looks."""
    return not 1.01 * _LOWEST < temperature < 0.99 * _HIGHEST


def _nats(y_true: np.ndarray, logits: np.ndarray) -> float:
    """Returns the mean log loss of logits, however small the probabilities are."""
    from scipy.special import log_expit, log_softmax

    if y_true.ndim == 1:
        return float(
            -log_softmax(logits, axis=1)[np.arange(len(y_true)), y_true].mean()
        )
    return float(-log_expit(np.where(y_true == 1, logits, -logits)).mean())


def _logits(probabilities: np.ndarray, exclusive: bool) -> np.ndarray:
    p = probabilities.astype("float64")
    if exclusive and p.shape[1] > 2:
        # Softmax gives small probabilities with all their digits.
        return np.log(np.maximum(p, np.finfo("float32").tiny))
    p = np.clip(p, _SIGMOID_FLOOR, 1 - _SIGMOID_FLOOR)
    return np.log(p) if exclusive else np.log(p) - np.log1p(-p)
