"""Labels some of which are missing: NaN stands for them in rows of numbers."""

import math

import numpy as np


def as_rows(labels: np.ndarray) -> np.ndarray:
    """Returns labels as `(n, columns)`, also where there are none."""
    return labels.reshape(len(labels), math.prod(labels.shape[1:]))


def are_labelled(labels: np.ndarray) -> np.ndarray:
    """Returns which examples have a label, or some of their row, bool `(n,)`."""
    return ~np.isnan(as_rows(labels)).all(axis=1)


def known(column: np.ndarray) -> np.ndarray:
    """Returns the labels of a column that are there; one zero where none is."""
    found = column[~np.isnan(column)]
    return found[:, None] if len(found) else np.zeros((1, 1), "float32")
