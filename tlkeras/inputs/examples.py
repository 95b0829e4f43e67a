"""One split's examples: how they are read, in which order, and what they are."""

import abc
import copy
import dataclasses
import hashlib
import weakref
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

# Raised whenever the same source comes out as other inputs, for what is cached by
# fingerprint.
READING_VERSION = 1


class Examples(abc.ABC):
    """The examples of one split, and how to read them.

    A subclass knows one kind of source: it reads its inputs (`_batches`),
    identifies them without reading (`_inputs_identity`), tells which are the same
    (`identities`, `contents`) and what they are called (`names`), and picks a part of
    them (`select`). Images are float32 raw pixels, texts are strings.

    Attributes:
        labels: int32 class ids `(n,)`, float32 multi-hot rows `(n, k)`, or float32
            targets `(n,)` or `(n, k)`; where heads have names, float32 packed rows, as
            `Problem.pack` makes them.
        random_access: Whether examples can be read in any order, by `in_order`.
        files: The examples' paths relative to the folder of the data, `None` where
            they are no files.
        source: Where they are from, in a word, `None` where that has no name.
    """

    random_access = False
    files: list[str] | None = None
    source: str | None = None

    def __init__(self, labels: np.ndarray):
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} examples)"

    @abc.abstractmethod
    def select(self, positions: np.ndarray) -> "Examples":
        """Returns the examples at `positions` (int, increasing), as a new split."""

    def with_labels(self, labels: np.ndarray) -> "Examples":
        """Returns the same examples with other labels."""
        twin = copy.copy(self)
        twin.labels = labels
        # A part of its own, also of what it makes of labels beforehand.
        return twin.select(np.arange(len(twin)))

    @abc.abstractmethod
    def identities(self) -> Iterator[Hashable]:
        """Yields for each example what is equal where the examples are equal."""

    def contents(self, positions: np.ndarray) -> list[Hashable | None]:
        """Tells apart what `identities` leaves open, by reading the inputs.

        Args:
            positions: int, examples whose identity another one shares.

        Returns:
            What is equal where identity and inputs are equal, one for each; `None`
            where the inputs cannot be read.
        """
        return [0] * len(positions)

    def names(self, positions: np.ndarray) -> list[str]:
        """Returns what the examples at `positions` are called, `""` for no name."""
        return [""] * len(positions)

    @abc.abstractmethod
    def _batches(self, batch_size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
        """Returns batches `(x, y)`, before prefetching."""

    @abc.abstractmethod
    def _inputs_identity(self) -> Iterable[bytes]:
        """Yields bytes that change with the inputs, their order or their decoding."""

    def dataset(
        self, batch_size: int, shuffle: bool = False, seed: int = 0
    ) -> tf.data.Dataset:
        """Makes a batched, prefetched dataset of the examples.

        Args:
            batch_size: Examples per batch; the last batch may be smaller.
            shuffle: Whether each pass over the dataset has an order of its own,
                drawn from `seed`. Otherwise every pass keeps the stored order.
            seed: Seed of the orders. As everywhere in TensorFlow, they also follow
                the global seed where one is set.

        Returns:
            A `tf.data.Dataset` of `(x, y)` batches.
        """
        with tf.device("CPU:0"):
            dataset = self._batches(batch_size, shuffle, seed)
        options = tf.data.Options()
        options.deterministic = True
        # There are no input files to deal out to the workers, only examples.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def fingerprint(self) -> str:
        """Identifies the examples: inputs, order, labels and decoding.

        Nothing is decoded for it.

        Returns:
            A hexadecimal string that is the same in every process.
        """
        digest = hashlib.sha256(f"{type(self).__name__} {READING_VERSION}".encode())
        digest.update(f"{self.labels.dtype}{self.labels.shape}".encode())
        digest.update(np.ascontiguousarray(self.labels))
        for part in self._inputs_identity():
            digest.update(part)
        return digest.hexdigest()


class RandomAccessExamples(Examples):
    """Examples that can be read in any order."""

    random_access = True

    @abc.abstractmethod
    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Reads examples by position; may be called inside a `tf.data` function.

        Args:
            positions: `tf.data.Dataset` of int64 scalars, 0 to `len(self) - 1`, of
                known cardinality.
            batch_size: Examples per batch; the last batch may be smaller.

        Returns:
            A `tf.data.Dataset` of batches `(x, y)` in the order of `positions`.
        """

    def _batches(self, batch_size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
        # Positions are shuffled, not images: a buffer for all of them is small.
        positions = tf.data.Dataset.range(len(self))
        if shuffle:
            positions = positions.shuffle(
                len(self), seed=seed, reshuffle_each_iteration=True
            )
        return self.in_order(positions, batch_size)


class Weighed(RandomAccessExamples):
    """Examples whose batches are `(x, y, weights)`.

    Args:
        examples: `RandomAccessExamples`, or features of such.
        weights: float32 `(n,)`.
    """

    def __init__(self, examples: Any, weights: np.ndarray):
        super().__init__(examples.labels)
        self.examples, self.weights = examples, weights

    def select(self, positions: np.ndarray) -> "Weighed":
        return Weighed(self.examples.select(positions), self.weights[positions])

    def identities(self) -> Iterator[Hashable]:
        return self.examples.identities()

    def _inputs_identity(self) -> Iterable[bytes]:
        yield self.examples.fingerprint().encode()
        yield np.ascontiguousarray(self.weights).tobytes()

    def _batches(self, batch_size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
        batches = super()._batches(batch_size, False, seed)
        if not shuffle:
            return batches
        # Examples and weights each pass over the positions: one order for both.
        rows = tf.data.Dataset.range(len(self))
        rows = rows.shuffle(len(self), seed=seed, reshuffle_each_iteration=True)

        @tf.autograph.experimental.do_not_convert
        def read(some):
            return self.in_order(tf.data.Dataset.from_tensor_slices(some), batch_size)

        shuffled = rows.batch(batch_size).flat_map(read)
        return shuffled.apply(
            tf.data.experimental.assert_cardinality(batches.cardinality())
        )

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        batches = self.examples.in_order(positions, batch_size)
        table = tf.constant(self.weights)

        @tf.autograph.experimental.do_not_convert
        def weigh(batch, rows):
            return *batch, tf.gather(table, rows)

        return tf.data.Dataset.zip(batches, positions.batch(batch_size)).map(weigh)


def weighed(examples: Any, weights: np.ndarray | None) -> Any:
    """Returns examples with their weights, where they have some."""
    return examples if weights is None else Weighed(examples, weights)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a dataset of `Splits` reads its examples.

    Attributes:
        examples: What it reads.
        batch_size: Examples per batch.
        shuffled: Whether every pass has an order of its own.
        seed: Seed of these orders.
        problem: The `Problem` that they are of, where it is known.
        packed: Whether the dataset's labels stay the rows that examples hold where
            heads have names, as models are trained on them.
        groups: int, of each example, where some belong together, such as pictures of
            one patient.
        fractions: Which shares of the examples were drawn for validation and for
            testing, where that is known; 0 for a part that came with the data.
        weights: float32, how much each example counts in the loss, where some count
            more than others.
    """

    examples: Examples
    batch_size: int
    shuffled: bool
    seed: int
    problem: Any = None
    packed: bool = False
    groups: Any = None
    fractions: tuple[float, float] | None = None
    weights: np.ndarray | None = None

    def fingerprint(self) -> str:
        """Identifies the examples and what they weigh, as `Examples.fingerprint`."""
        return weighed(self.examples, self.weights).fingerprint()

    def dataset(self) -> tf.data.Dataset:
        """Makes the dataset, and remembers what is behind it while it lives."""
        dataset = weighed(self.examples, self.weights).dataset(
            self.batch_size, self.shuffled, self.seed
        )
        if self.problem is not None and not self.packed:
            dataset = self.problem.unpacked(dataset)
        _BEHIND[dataset] = self
        return dataset


_BEHIND: "weakref.WeakKeyDictionary[tf.data.Dataset, Reading]" = (
    weakref.WeakKeyDictionary()
)


def reading_of(dataset: object) -> Reading | None:
    """Returns what is behind a dataset that `Splits` made, and how it reads it.

    Args:
        dataset: Anything, as it came from the user.

    Returns:
        The reading, or `None` if `dataset` is anything else: also for a dataset
        derived from one of `Splits` (`data.train.map(...)`).
    """
    return _BEHIND.get(dataset) if isinstance(dataset, tf.data.Dataset) else None


def examples_of(dataset: object) -> Examples | None:
    """Returns the `Examples` behind a dataset that `Splits` made, else `None`.

    Example:
    >>> data = tl.image_folder("flowers/")
    >>> len(examples_of(data.train))
    14
    """
    reading = reading_of(dataset)
    return None if reading is None else reading.examples
