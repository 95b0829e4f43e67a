"""Features of all examples of a split, and how batches of them are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tlkeras import cache as disk

# Batches of sequences are as long as their longest one, rounded up to a multiple.
BUCKET = 16
# Bytes read from a memory-mapped array before its pages are let go.
_RELEASE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class FeatureSet:
    """What a frozen prefix computes for every example of a split.

    Attributes:
        arrays: One array for each tensor at the cut, `(examples, ...)`, in memory or
            memory-mapped.
        labels: The examples' labels, in the same order.
        seconds: How long the extraction took; 0.0 where all of it was in the cache.
        key: Fingerprint of examples and prefix.
        ragged: Which arrays hold sequences, padded to one length; empty for none.
        lengths: Of sequences, how much of each example is not padding.
        names: The arrays' names, where a model takes them as a dictionary.
    """

    arrays: tuple[np.ndarray, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    seconds: float
    key: str
    ragged: tuple[bool, ...] = ()
    lengths: np.ndarray | None = field(default=None, repr=False)
    names: tuple[str, ...] | None = None

    random_access = True

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays)

    def fingerprint(self) -> str:
        """Returns `key`: features may be the examples of a further extraction."""
        return self.key

    def at(self, rows: np.ndarray) -> "FeatureSet":
        """Returns the features of some examples, in memory, in the order of `rows`.

        Args:
            rows: Positions of the examples from 0, int.
        """
        return replace(
            self,
            arrays=tuple(np.asarray(array[rows]) for array in self.arrays),
            labels=self.labels[rows],
            lengths=None if self.lengths is None else self.lengths[rows],
        )

    def in_order(self, positions: Any, batch_size: int) -> Any:
        """Reads features and labels by position.

        Args:
            positions: `tf.data.Dataset` of int64 scalars.
            batch_size: Examples per batch.

        Returns:
            `tf.data.Dataset` of batches `(features, labels)`; the features are one
            tensor, or a tuple where several cross the cut, or a dictionary where they
            have names. Sequences are cut to the longest of the batch, rounded up.
        """
        import tensorflow as tf

        columns = (*self.arrays, self.labels)
        dtypes = [tf.as_dtype(column.dtype) for column in columns]
        ragged = (*(self.ragged or (False,) * len(self.arrays)), False)
        rows = _Rows(columns, ragged, self.lengths)

        @tf.autograph.experimental.do_not_convert
        def load(batch):
            tensors = tf.numpy_function(rows, [batch], dtypes)
            for tensor, column, cut in zip(tensors, columns, ragged, strict=True):
                shape = column.shape[1:]
                tensor.set_shape((None, None, *shape[1:]) if cut else (None, *shape))
            *features, labels = tensors
            if self.names is not None:
                return dict(zip(self.names, features, strict=True)), labels
            if len(features) == 1:
                return features[0], labels
            # `tf.data` would stack a list of tensors into one.
            return tuple(features), labels

        return positions.batch(batch_size).map(load)


def bucket_length(longest: Any) -> Any:
    """Returns a sequence length rounded up to a multiple of `BUCKET`."""
    return (longest + BUCKET - 1) // BUCKET * BUCKET


class _Rows:
    """Takes rows out of arrays, and lets go of pages that have been read."""

    def __init__(
        self,
        columns: Sequence[np.ndarray],
        ragged: Sequence[bool],
        lengths: np.ndarray | None,
    ):
        self.columns, self.ragged, self.lengths = columns, ragged, lengths
        self.read = 0

    def __call__(self, positions: np.ndarray) -> list[np.ndarray]:
        end = None
        if self.lengths is not None:
            end = int(bucket_length(max(1, self.lengths[positions].max())))
        rows = [
            np.ascontiguousarray(column[positions, :end] if cut else column[positions])
            for column, cut in zip(self.columns, self.ragged, strict=True)
        ]
        self.read += sum(row.nbytes for row in rows)
        if self.read > _RELEASE_BYTES:
            self.read = 0
            for column in self.columns:
                disk.release(column)
        return rows
