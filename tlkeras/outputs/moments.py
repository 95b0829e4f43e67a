"""`Moments`: where numbers to be learnt lie, and how far apart."""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Mean and deviation of numbers, each float64 `(outputs,)`.

    Attributes:
        mean: Of the labels that are known.
        deviation: Their standard deviation; 1 of numbers that are all the same.
    """

    mean: np.ndarray
    deviation: np.ndarray


def moments_of(rows: np.ndarray) -> Moments | None:
    """Returns the moments of each column; `None` where one has no label at all.

    Args:
        rows: `(n, outputs)`, NaN where a label is missing.
    """
    rows = np.asarray(rows, "float64")
    if np.isnan(rows).all(axis=0).any():
        return None
    mean, deviation = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    # What is left of equal numbers is rounding.
    constant = deviation <= 1e-12 * np.abs(mean)
    return Moments(mean, np.where(constant, 1.0, deviation))
