"""Figures for forecasts: functions of true and forecast values, NaN where unknown."""

from collections.abc import Sequence

import numpy as np


def mase(y_true: np.ndarray, y_pred: np.ndarray, naive_error: np.ndarray) -> np.ndarray:
    """Returns each window's mean absolute scaled error.

    1 is as wrong as to repeat the last season was, on average, in the training part.

    Args:
        y_true: `(n, horizon, targets)`.
        y_pred: The same.
        naive_error: `(n, targets)`, the mean absolute error of the seasonal naive
            forecast one season ahead over the training part of the series.

    Returns:
        `(n,)`; NaN where nothing is known, or the series never changed.

    Example:
    >>> y = np.array([[[1.0], [2.0]]])
    >>> mase(y, y + 1, np.array([[4.0]])).tolist()
    [0.25]

    Reference:
        Hyndman and Koehler, Another look at measures of forecast accuracy (2006).
    """
    unit = np.where(naive_error > 0, naive_error, np.nan)[:, None]
    return mean_of_known(np.abs(y_true - y_pred) / unit, axis=(1, 2))


def smape(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Returns the symmetric mean absolute percentage error, 0 to 200.

    Args:
        y_true: Of any shape.
        y_pred: The same.

    Example:
    >>> smape(np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    50.0

    Reference:
        Makridakis et al., The M4 Competition (2020), with 0 for 0 forecast as 0.
    """
    size = np.abs(y_true) + np.abs(y_pred)
    shares = 2 * np.abs(y_true - y_pred) / np.where(size > 0, size, 1)
    return 100 * float(mean_of_known(shares))


def crps(y_true: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> float:
    """Returns the continuous ranked probability score, the mean over values.

    Twice the pinball loss, integrated over levels: each level stands for what is nearer
    to it than to its neighbours. In the units of the values; that of a forecast without
    a distribution is its mean absolute error. Of the nine levels that forecasters keep
    it is 2 to 3% too low for normal distributions, for every method alike.

    Args:
        y_true: Of any shape.
        quantiles: `(levels, ...)`, what is forecast to be exceeded by `1 - level`.
        levels: From 0 to 1, increasing.

    Example:
    >>> crps(np.array([1.0]), np.array([[0.0], [3.0]]), [0.25, 0.75])
    0.75

    Reference:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation
        (2007).
    """
    levels = np.asarray(levels, "float64")
    borders = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    each = levels.reshape(-1, *[1] * y_true.ndim)
    above = y_true - quantiles
    pinball = np.maximum(each * above, (each - 1) * above)
    by_level = mean_of_known(pinball.reshape(len(levels), -1), axis=1)
    return 2 * float(np.diff(borders) @ by_level)


def mean_of_known(values: np.ndarray, axis: int | tuple[int, ...] | None = None):
    """Returns the mean of what is not NaN; NaN, without a warning, where all is.

    Args:
        values: Of any shape.
        axis: As in `np.mean`.

    Example:
    >>> float(mean_of_known(np.array([1.0, np.nan, 3.0])))
    2.0
    """
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
