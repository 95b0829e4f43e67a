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
        hidden: bool `(window, channels)`, what no window shows: it is NaN, as if it
            were missing. `None`: nothing.
    """

    def __init__(
        self,
        values: np.ndarray,
        starts: np.ndarray,
        window: int,
        labels: np.ndarray,
        titles: Sequence[str],
        hidden: np.ndarray | None = None,
    ):
        super().__init__(labels)
        self.values, self.starts, self.window = values, starts, window
        self.titles = np.asarray(titles)
        self.hidden = hidden
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
            self.hidden,
        )

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        values, starts, labels = self._columns
        steps = tf.range(self.window, dtype=starts.dtype)
        hidden = self.hidden

        @plain_graph
        def gather(batch):
            places = tf.gather(starts, batch)[:, None] + steps
            windows = tf.gather(values, places)
            if hidden is not None:
                windows = tf.where(hidden, np.float32(np.nan), windows)
            return windows, tf.gather(labels, batch)

        return positions.batch(batch_size).map(gather, tf.data.AUTOTUNE)

    def names(self, positions: np.ndarray) -> list[str]:
        return self.titles[positions].tolist()

    def identities(self) -> Iterator[bytes]:
        for start in self.starts:
            window = self.values[start : start + self.window]
            if self.hidden is not None:
                window = np.where(self.hidden, np.float32(np.nan), window)
            yield hashlib.blake2b(np.ascontiguousarray(window)).digest()

    def _inputs_identity(self) -> Iterable[bytes]:
        yield f"{self.window} {self.values.shape}".encode()
        if self.hidden is not None:
            yield np.packbits(self.hidden).tobytes()
        yield np.ascontiguousarray(self.values)
        yield np.ascontiguousarray(self.starts)
