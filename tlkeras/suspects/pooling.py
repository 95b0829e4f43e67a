"""Features as one vector for each example, of few dimensions."""

from typing import Any

import numpy as np

from tlkeras.features import FeatureSet

_ROWS_AT_ONCE = 512

# The covariance of more channels, as a "flatten" head takes (25,088 of VGG16), would
# fill memory.
_WIDE = 5000


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


def principal_components(vectors: np.ndarray, most: int) -> Any:
    """Returns the `sklearn.decomposition.PCA` that suits vectors, not fitted.

    Args:
        vectors: `(n, channels)`.
        most: Components at most.
    """
    from sklearn.decomposition import PCA

    solver = "covariance_eigh" if vectors.shape[1] <= _WIDE else "randomized"
    return PCA(min(most, *vectors.shape), svd_solver=solver, random_state=0)
