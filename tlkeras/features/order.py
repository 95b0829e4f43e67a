"""The order in which training reads examples: the same with and without a cache."""

import functools
from typing import Any


def endless_epochs(
    examples: Any,
    steps: int,
    shuffled: bool,
    seed: int,
    first_epoch: int = 0,
    views: int = 1,
) -> Any:
    """Makes a dataset of all epochs, one after the other.

    The order of epoch `e` depends on `seed` and `e` alone, neither on what was read
    before nor on how the examples are stored. The batches of an epoch are of nearly
    equal size: a last batch of one or two examples would move the weights as much as a
    whole one does, and spoil the moving statistics of batch norms that train.

    Args:
        examples: Something with `in_order(positions, batch_size)` and a length.
        steps: Batches per epoch.
        shuffled: Whether each epoch has an order of its own.
        seed: Seed of those orders.
        first_epoch: Number of the epoch to start with.
        views: How many times the examples were stored, one augmented view of all of
            them after the other; the epochs take turns.

    Returns:
        `tf.data.Dataset` of batches, without end.
    """
    import tensorflow as tf

    count = len(examples) // views
    # The first `longer` batches hold one example more than the others.
    size, longer = divmod(count, steps)

    @tf.autograph.experimental.do_not_convert
    def one_epoch(epoch):
        positions = tf.range(count, dtype="int64")
        if shuffled:
            positions = tf.random.experimental.stateless_shuffle(
                positions, seed=tf.stack([tf.constant(seed, "int64"), epoch])
            )
        positions += count * (epoch % views)
        parts = (
            examples.in_order(tf.data.Dataset.from_tensor_slices(part), length)
            for part, length in (
                (positions[: longer * (size + 1)], size + 1),
                (positions[longer * (size + 1) :], size),
            )
            if longer or length == size
        )
        return functools.reduce(tf.data.Dataset.concatenate, parts)

    return (
        tf.data.Dataset.counter(first_epoch)
        .flat_map(one_epoch)
        .prefetch(tf.data.AUTOTUNE)
    )
