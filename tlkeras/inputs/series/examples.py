"""Windows of long series, which are cut out as they are read."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tlkeras.inputs.examples import RandomAccessExamples
from tlkeras.inputs.loading import plain_graph


class WindowExamples(RandomAccessExamples):
    """Windows of series in memory, which every part of a split shares.

    Args:
        values: float32 `(steps, channels)`, all series one after the other, NaN where
            a value is missing.
        starts: int64 `(n,)`, where each window begins among them.
        window: Steps of a window.
        labels: As in `Examples`.
        titles: What each window is called.
    """

    def __init__(
        self,
        values: np.ndarray,
        starts: np.ndarray,
        window: int,
        labels: np.ndarray,
        titles: Sequence[str],
    ):
        super().__init__(labels)
        self.values, self.starts, self.window = values, starts, window
        self.titles = np.asarray(titles)
        with tf.init_scope(), tf.device("CPU:0"):
            self._columns = tuple(map(tf.constant, (values, starts, labels)))

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of one example as batches hold it."""
        return self.window, self.values.shape[1]

    def select(self, positions: np.ndarray) -> "WindowExamples":
        return WindowExamples(
            self.values,
            self.starts[positions],
            self.window,
            self.labels[positions],
            self.titles[positions],
        )

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        values, starts, labels = self._columns
        steps = tf.range(self.window, dtype=starts.dtype)

        @plain_graph
        def gather(batch):
            places = tf.gather(starts, batch)[:, None] + steps
            return tf.gather(values, places), tf.gather(labels, batch)

        return positions.batch(batch_size).map(gather, tf.data.AUTOTUNE)

    def names(self, positions: np.ndarray) -> list[str]:
        return self.titles[positions].tolist()

    def identities(self) -> Iterator[bytes]:
        for start in self.starts:
            window = np.ascontiguousarray(self.values[start : start + self.window])
            yield hashlib.blake2b(window).digest()

    def _inputs_identity(self) -> Iterable[bytes]:
        yield f"{self.window} {self.values.shape}".encode()
        yield np.ascontiguousarray(self.values)
        yield np.ascontiguousarray(self.starts)
