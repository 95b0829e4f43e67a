"""Features as one vector for each example."""

import numpy as np

from tlkeras.features import FeatureSet

_ROWS_AT_ONCE = 512


def pooled(features: FeatureSet) -> np.ndarray:
    """Returns one vector for each example: the mean over all places of a feature map.

    Returns:
        float32 `(n, channels)`, of all arrays that hold numbers with fractions.
    """
    arrays = [x for x in features.arrays if x.dtype.kind not in "biu" and x.ndim > 1]
    if not arrays:
        raise ValueError("The frozen part of the model gives no features.")
    found = []
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        lengths = None if features.lengths is None else features.lengths[rows]
        columns = [_mean(np.asarray(x[rows], np.float32), lengths) for x in arrays]
        found.append(np.concatenate(columns, axis=1))
    return np.concatenate(found)


def _mean(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Returns the mean over all axes but the first and the last."""
    if values.ndim == 2:
        return values
    if values.ndim == 3 and lengths is not None:
        inside = np.arange(values.shape[1]) < np.maximum(lengths, 1)[:, np.newaxis]
        total = np.einsum("nld,nl->nd", values, inside.astype(np.float32))
        return total / np.maximum(lengths, 1)[:, np.newaxis]
    return values.mean(axis=tuple(range(1, values.ndim - 1)))
