"""Answers about windows of an example, made one answer about the whole."""

from typing import Any

import keras
import numpy as np


def averaged(outputs: Any, owners: np.ndarray, count: int) -> Any:
    """Returns the mean of outputs over each example's windows.

    Args:
        outputs: What a model gave for windows, `(windows, units)`, in a structure.
        owners: int `(windows,)`, the example that each is of; every example has one.
        count: How many examples there are.
    """
    number = np.bincount(owners, minlength=count)

    def mean(rows: np.ndarray) -> np.ndarray:
        sums = np.zeros((count, *rows.shape[1:]), "float64")
        np.add.at(sums, owners, rows)
        return (sums / number.reshape(-1, *[1] * (rows.ndim - 1))).astype(rows.dtype)

    return keras.tree.map_structure(mean, outputs)
