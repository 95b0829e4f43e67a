"""`Rows`: standardised features, in memory or read a block at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# Bytes of features, as float64, that are held at once; beyond, blocks are read anew in
# each pass.
_HELD_BYTES, _BLOCK_BYTES = 2**30, 2**26
# With plain deviations 5 examples per class of photographs were at 0.78 of accuracy,
# with 30 to 300 rows more at 0.92.
_PRIOR_ROWS = 30


class Rows:
    """Features with mean 0 and a variance of about 1 in each column.

    Deviations are drawn towards their root mean square, as if that had been seen of 30
    rows more: those of a few rows are but noise, and small ones would blow up what
    says nothing.

    Where all of them as float64 take more than 1 GiB they stay where they are, and a
    pass reads and standardises a block after the other.

    Args:
        features: `(n, width)`, of any floating dtype, in memory or memory-mapped.
        release: Called with the features after each block of a pass, to let go of
            pages that have been read.
        only: int, increasing: the rows that there are; `None` for all. They stay where
            they are, too.

    Attributes:
        mean: float64 `(width,)`.
        scale: float64 `(width,)`, what columns are divided by.
    """

    def __init__(
        self,
        features: np.ndarray,
        release: Callable[[Any], None] = id,
        only: np.ndarray | None = None,
    ):
        self._features, self._release, self._only = features, release, only
        self._held: np.ndarray | None = None
        self.mean, self.scale = self._moments()
        if len(self) * self.width * 8 <= _HELD_BYTES:
            self._held = self._standardised(slice(None), "float64")

    def __len__(self) -> int:
        return len(self._features if self._only is None else self._only)

    @property
    def width(self) -> int:
        """The number of columns."""
        return self._features.shape[1]

    def at(self, rows: np.ndarray, dtype: str = "float32") -> np.ndarray:
        """Returns some rows, standardised.

        Args:
            rows: int, increasing.
            dtype: Of the result.
        """
        if self._held is not None:
            return self._held[rows].astype(dtype)
        return self._standardised(rows, dtype)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields all rows in float64 as `(where, rows)`, a block after the other."""
        if self._held is not None:
            yield slice(0, len(self)), self._held
            return
        for where in self._slices():
            yield where, self._standardised(where, "float64")
            self._release(self._features)

    def _standardised(self, rows: Any, dtype: str) -> np.ndarray:
        found = self._read(rows).astype(dtype)
        found -= self.mean.astype(dtype)
        found /= self.scale.astype(dtype)
        return found

    def _read(self, rows: Any) -> np.ndarray:
        rows = rows if self._only is None else self._only[rows]
        return np.asarray(self._features[rows])

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation of each column, in two passes."""
        mean = sum(self._sums(lambda block: block)) / len(self)
        squares = sum(self._sums(lambda block: (block - mean) ** 2)) / len(self)
        pooled = len(self) * squares + _PRIOR_ROWS * np.mean(squares)
        scale = np.sqrt(pooled / (len(self) + _PRIOR_ROWS))
        return mean, np.where(scale > 0, scale, 1.0)

    def _sums(self, of: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        for where in self._slices():
            yield of(self._read(where).astype("float64")).sum(axis=0)
            self._release(self._features)

    def _slices(self) -> Iterator[slice]:
        size = max(1, _BLOCK_BYTES // (8 * max(1, self.width)))
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))
