"""Augmented views: each example as it looks after augmentation, several times over."""

import hashlib
from typing import Any

import numpy as np

from tlkeras.cache import ArraySpec


class Views:
    """Examples, augmented `count` times; what a cache can hold of random pictures.

    One view of all examples follows the other, each in an order of its own: steps that
    mix examples with each other then mix them across classes.

    Args:
        examples: `Examples` that can be read in any order.
        augment: An `Augment`.
        count: Views of each example.
        seed: Seed of the orders.
    """

    random_access = True

    def __init__(self, examples: Any, augment: Any, count: int, seed: int):
        self.examples, self.augment, self.count = examples, augment, count
        random = np.random.RandomState(seed % 2**32)
        orders = [random.permutation(len(examples)) for _ in range(count)]
        self.rows = np.concatenate(orders).astype("int64")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def label_spec(self) -> ArraySpec:
        """Shape and dtype of one label, which augmentation may have made soft."""
        import tensorflow as tf

        spec = self.in_order(tf.data.Dataset.range(1), 1).element_spec[1]
        return ArraySpec(tuple(spec.shape[1:]), spec.dtype.name)

    def fingerprint(self) -> str:
        """Identifies examples, order and augmentation."""
        digest = hashlib.sha256(self.examples.fingerprint().encode())
        digest.update(self.augment.identity().encode())
        digest.update(self.rows.tobytes())
        return digest.hexdigest()

    def in_order(self, positions: Any, batch_size: int) -> Any:
        """Reads and augments examples; as `RandomAccessExamples.in_order`."""
        import tensorflow as tf

        rows = tf.constant(self.rows)
        chosen = positions.map(lambda position: rows[position])
        return self.augment.over(self.examples.in_order(chosen, batch_size))
