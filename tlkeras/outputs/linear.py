"""What a linear head is to learn: targets of labels, where the loss is one to solve."""

from typing import Any

import keras
import numpy as np

from tlkeras.linear import Targets
from tlkeras.outputs.forecasts.loss import ForecastLoss
from tlkeras.outputs.known import KnownLoss
from tlkeras.outputs.losses import ClassCrossentropy, LabelLoss, find_loss

# Losses whose regularised minimum a linear model has, by what makes outputs of logits.
_SOLVED = {
    "softmax": (
        ClassCrossentropy,
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.CategoricalCrossentropy,
        keras.losses.sparse_categorical_crossentropy,
        keras.losses.categorical_crossentropy,
    ),
    "sigmoid": (
        keras.losses.BinaryCrossentropy,
        keras.losses.binary_crossentropy,
    ),
    "identity": (
        keras.losses.MeanSquaredError,
        keras.losses.mean_squared_error,
    ),
}
_AVERAGES = ("sum_over_batch_size", "mean")


def linear_targets(
    labels: np.ndarray,
    units: int,
    loss: Any,
    activation: str | None,
    weights: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    smoothed: bool = True,
) -> Targets | None:
    """Returns what a Dense layer is to learn; `None` where its loss cannot be solved.

    Args:
        labels: Class numbers `(n,)`, rows or targets `(n, units)`. Negative numbers of
            classes and NaN are missing.
        units: Width of the layer.
        loss: What it is compiled with.
        activation: The layer's.
        weights: How much examples count, `(n,)` or `(n, units)`; `None` for the same.
        strata: int `(n,)`, negative where missing: which examples are alike.
        smoothed: Whether labels are smoothed, where the loss does so.
    """
    found = _link(loss, activation)
    if found is None:
        return None
    link, smoothing = found
    values, known = _values(np.asarray(labels, "float64"), units, link)
    if values is None:
        return None
    smoothing = smoothing if smoothed else 0.0
    ways = units if link == "softmax" else 2
    values = values * (1 - smoothing) + smoothing / ways
    if weights is not None:
        weights = np.asarray(weights, "float64")
        known = known * (weights[:, None] if weights.ndim == 1 else weights)
    return Targets(values, known, link, strata)


def _link(loss: Any, activation: str | None) -> tuple[str, float] | None:
    """Returns what makes outputs of logits, and how much labels are smoothed."""
    while isinstance(loss, (KnownLoss, LabelLoss, ForecastLoss)):
        loss = loss.loss
    if loss is None or isinstance(loss, (dict, list, tuple)):
        return None
    loss = find_loss(loss)
    if getattr(loss, "reduction", "mean") not in _AVERAGES:
        return None
    for link, losses in _SOLVED.items():
        if any(loss is known or type(loss) is known for known in losses):
            logits = link == "identity" or getattr(loss, "from_logits", False)
            if (activation or "linear") != ("linear" if logits else link):
                return None
            return link, float(getattr(loss, "label_smoothing", 0.0))
    return None


def _values(labels: np.ndarray, units: int, link: str) -> tuple[Any, Any]:
    """Returns targets `(n, units)`, and 1 where they are known, 0 where missing."""
    rows = labels.reshape(len(labels), -1)
    if link == "softmax" and rows.shape[1] == 1 != units:
        numbers = rows[:, 0]
        known = numbers >= 0
        numbers = np.where(known, numbers, 0).astype(int)
        if numbers.max(initial=0) >= units:
            return None, None
        return np.eye(units)[numbers], known[:, None].astype("float64")
    if rows.shape[1] != units:
        return None, None
    known = ~np.isnan(rows)
    if link == "softmax":
        known = known.all(axis=1, keepdims=True)
    if link == "sigmoid":
        known &= rows >= 0
    return np.where(known, rows, 0.0), known.astype("float64")
