"""Batches for replicas: each worker's share of the examples, each replica's of a batch.

A global batch is made of equal parts of all shares. How many examples it has in all
goes with every part, so that uneven parts weigh what they should.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


class Share:
    """Every `count`-th example, from `index` on: what one worker reads.

    Args:
        examples: `Examples`, or anything that is read as they are.
        index: The worker's place.
        count: How many workers there are.
    """

    def __init__(self, examples: Any, index: int, count: int):
        self.examples, self.index, self.count = examples, index, count
        self.labels = np.asarray(examples.labels)[index::count]
        self.random_access = examples.random_access
        if getattr(examples, "lengths", None) is not None:
            self.lengths = np.asarray(examples.lengths)[index::count]

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """Identifies the examples and which of them these are."""
        return f"{self.examples.fingerprint()}[{self.index}::{self.count}]"

    def in_order(self, positions: Any, batch_size: int) -> Any:
        """Reads by position within the share, as `RandomAccessExamples.in_order`."""
        whole = positions.map(lambda position: position * self.count + self.index)
        return self.examples.in_order(whole, batch_size)

    def dataset(self, batch_size: int) -> Any:
        """Reads the share in its order, as `Examples.dataset`."""
        if self.random_access:
            import tensorflow as tf

            positions = tf.data.Dataset.range(len(self))
            return self.in_order(positions, batch_size).prefetch(tf.data.AUTOTUNE)
        single = self.examples.dataset(batch_size).unbatch()
        return single.shard(self.count, self.index).batch(batch_size)


def share_sizes(examples: int, count: int) -> list[int]:
    """Returns how many examples each of `count` shares has."""
    return [len(range(index, examples, count)) for index in range(count)]


def totals(sizes: Sequence[int], steps: int, first_step: int) -> Any:
    """Makes an endless dataset of how many examples each global batch has.

    Args:
        sizes: Examples in each share, which is cut into `steps` batches of nearly equal
            size, the larger ones first.
        steps: Batches per epoch.
        first_step: Number of the first of them.
    """
    import tensorflow as tf

    numbers = np.arange(steps)[:, None]
    whole, longer = np.divmod(np.asarray(sizes), steps)
    each = (whole + (numbers < longer)).sum(axis=1)
    return tf.data.Dataset.from_tensor_slices(each).repeat().skip(first_step)


def with_totals(batches: Any, known: Any = None) -> Any:
    """Returns batches as `(batch, examples in the global batch)`.

    Args:
        batches: Dataset of tuples.
        known: Dataset of the numbers; `None` where these are the global batches.
    """
    import tensorflow as tf

    if known is not None:
        return tf.data.Dataset.zip(batches.map(lambda *batch: batch), known)
    return batches.map(lambda *batch: (batch, tf.cast(_rows(batch), "int64")))


def in_parts(
    batches: Any, count: int, size: int | None = None, length: int | None = None
) -> Any:
    """Cuts each batch into `count` parts of nearly equal size, one for each replica.

    Args:
        batches: Dataset of `(batch, total)`.
        count: Replicas of this worker.
        size: Rows that each part is filled up to, with weight 0, where shapes must not
            change; how many there were goes with it. `None` leaves parts as they are.
        length: What sequences are then filled up to.
    """
    import tensorflow as tf

    def cut(batch, total):
        rows = _rows(batch)

        def part(number):
            number = tf.cast(number, rows.dtype)
            start, end = rows * number // count, rows * (number + 1) // count
            rows_of = keras.tree.map_structure(lambda x: x[start:end], batch)
            if size is None:
                return rows_of, total
            return filled(rows_of, size, length), total, end - start

        # A map keeps how many batches there are, which Keras asks for.
        return part(0) if count == 1 else tf.data.Dataset.range(count).map(part)

    if count == 1:
        return batches if size is None else batches.map(cut)
    return batches.flat_map(cut)


def filled(batch: tuple, size: int, length: int | None = None) -> tuple:
    """Returns a batch of fixed shapes: `size` rows, and sequences of one length.

    Rows that are added repeat the first one, with weight 0: what a model makes of them
    is finite.

    Args:
        batch: `(x, y)` or `(x, y, sample_weight)`.
        size: Rows.
        length: Of sequences, whose second axis is not fixed.
    """
    import tensorflow as tf

    rows = _rows(batch)
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    numbers = tf.range(size)
    known = tf.cast(numbers < rows, "float32")

    def fill(tensor):
        zeros = [(0, 1)] + [(0, 0)] * (len(tensor.shape) - 1)
        shape = [size, *tensor.shape[1:]]
        if len(shape) > 1 and shape[1] is None:
            zeros[1], shape[1] = (0, length - tf.shape(tensor)[1]), length
        # One row more than there are: the first of none.
        padded = tf.pad(tensor, zeros)
        chosen = tf.gather(padded, tf.where(numbers < rows, numbers, 0))
        return tf.ensure_shape(chosen, shape)

    x, y = keras.tree.map_structure(fill, (x, y))
    if weights is None:
        weights = keras.tree.map_structure(lambda _: known, y)
    else:
        weights = keras.tree.map_structure(
            lambda w: tf.cast(fill(w), "float32") * known, weights
        )
    return x, y, weights


def _rows(batch: Any) -> Any:
    import tensorflow as tf

    return tf.shape(keras.tree.flatten(batch)[0])[0]
