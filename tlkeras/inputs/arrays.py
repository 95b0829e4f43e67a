"""Examples that are rows of an array in memory: pixels, texts or other numbers."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from tlkeras.inputs.examples import RandomAccessExamples
from tlkeras.inputs.loading import plain_graph

# How many rows are looked at together.
_CHUNK = 1024

# How many characters of a text name it.
_NAME_LENGTH = 60


class ArrayExamples(RandomAccessExamples):
    """Rows of an array, which every part of a split shares.

    Args:
        inputs: Numbers `(n, ...)`, which batches hold as float32, or strings, `(n,)`
            or pairs `(n, 2)`, which pass through.
        labels: As in `Examples`, of the chosen rows.
        rows: int64, the chosen rows in increasing order; all by default.
    """

    def __init__(
        self,
        inputs: np.ndarray | tf.Tensor,
        labels: np.ndarray,
        rows: np.ndarray | None = None,
    ):
        super().__init__(labels)
        self.rows = np.arange(len(labels)) if rows is None else rows
        with tf.init_scope(), tf.device("CPU:0"):
            columns = inputs, self.rows, labels
            self._columns = tuple(tf.constant(column) for column in columns)

    @property
    def inputs(self) -> tf.Tensor:
        return self._columns[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example as batches hold it."""
        return tuple(self.inputs.shape[1:])

    def select(self, positions: np.ndarray) -> "ArrayExamples":
        return ArrayExamples(self.inputs, self.labels[positions], self.rows[positions])

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        inputs, rows, labels = self._columns

        @plain_graph
        def gather(batch):
            x = tf.gather(inputs, tf.gather(rows, batch))
            y = tf.gather(labels, batch)
            return (x if x.dtype == tf.string else tf.cast(x, tf.float32)), y

        return positions.batch(batch_size).map(gather, tf.data.AUTOTUNE)

    def names(self, positions: np.ndarray) -> list[str]:
        rows = self.rows[positions]
        if self.inputs.dtype != tf.string:
            return [f"x[{row}]" for row in rows]
        texts = self.inputs.numpy()[rows]
        return [repr(on_one_line(text, _NAME_LENGTH)) for text in texts]

    def identities(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            yield from map(_digest, chunk)

    def _inputs_identity(self) -> Iterable[bytes]:
        yield f"{self.inputs.dtype.name} {self.inputs.shape[1:]}".encode()
        for chunk in self._chunks():
            if chunk.dtype == object:
                digests = (hashlib.sha256(text).digest() for text in chunk.flat)
                chunk = b"".join(digests)
            yield memoryview(chunk).cast("B")

    def _chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), _CHUNK):
            yield tf.gather(self.inputs, self.rows[start : start + _CHUNK]).numpy()


def _digest(row: np.ndarray | bytes) -> bytes:
    if isinstance(row, bytes):
        return hashlib.blake2b(row).digest()
    if row.dtype == object:
        return b"".join(map(_digest, row))
    return hashlib.blake2b(np.ascontiguousarray(row)).digest()


def on_one_line(text: bytes | np.ndarray, length: int) -> str:
    """Returns a text, or both of a pair, on one line of at most `length` characters."""
    texts = [text] if isinstance(text, bytes) else text
    line = " | ".join(" ".join(part.decode().split()) for part in texts)
    return line if len(line) <= length else f"{line[: length - 1]}…"
