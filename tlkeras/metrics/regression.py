"""Figures for regressions: functions of true and predicted values."""

import numpy as np


def metrics(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """Computes mean absolute and squared errors and the share of variance explained.

    Args:
        y_true: True values of shape `(n,)` or `(n, targets)`.
        y_pred: Predicted values of the same shape.
        sample_weight: Weights of shape `(n,)` for the loss. Defaults to 1 each.

    Returns:
        Dictionary with `"mae"`, `"rmse"` (both in the unit of the values), `"r2"`
        (NaN for a single example) and `"loss"` (mean squared error); means over
        targets.

    Example:
    >>> metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))["rmse"] ** 2
    1.3333333333333333
    """
    from sklearn.metrics import (
        mean_absolute_error,
        mean_squared_error,
        root_mean_squared_error,
    )

    loss = mean_squared_error(y_true, y_pred, sample_weight=sample_weight)
    return {
        "mae": float(mean_absolute_error(y_true, y_pred)),
        "rmse": float(root_mean_squared_error(y_true, y_pred)),
        "r2": float(np.mean(explained(y_true, y_pred))),
        "loss": float(loss),
    }


def explained(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Returns the share of variance explained of each target, NaN for one example.

    Args:
        y_true: True values of shape `(n,)` or `(n, targets)`.
        y_pred: Predicted values of the same shape.

    Example:
    >>> explained(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])).tolist()
    [-3.0]
    """
    from sklearn.metrics import r2_score

    columns = y_true.reshape(len(y_true), -1).shape[1]
    if len(y_true) < 2:
        return np.full(columns, np.nan)
    found = r2_score(y_true, y_pred, multioutput="raw_values")
    return np.asarray(found, "float64").reshape(columns)
