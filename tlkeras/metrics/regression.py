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
        r2_score,
        root_mean_squared_error,
    )

    loss = mean_squared_error(y_true, y_pred, sample_weight=sample_weight)
    return {
        "mae": float(mean_absolute_error(y_true, y_pred)),
        "rmse": float(root_mean_squared_error(y_true, y_pred)),
        "r2": float(r2_score(y_true, y_pred)) if len(y_true) > 1 else float("nan"),
        "loss": float(loss),
    }
