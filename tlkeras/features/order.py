"""The order in which training reads examples: the same with and without a cache."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """In which order each epoch reads the examples.

    It depends on the seed and on the epoch's number alone, neither on what was read
    before nor on how the examples are stored.

    Attributes:
        count: Examples of an epoch.
        shuffled: Whether each epoch has an order of its own.
        seed: Seed of those orders.
        views: How many times the examples are stored, one augmented view of all of
            them after the other; the epochs take turns.
        draw: From seed and epoch to positions, where not every example is to come
            once in each epoch. It draws from all views.
    """

    count: int
    shuffled: bool
    seed: int
    views: int = 1
    draw: Callable[[Any, Any], Any] | None = None

    def positions(self, epoch: Any) -> Any:
        """Returns an epoch's positions, int64 of shape `(count,)`.

        Args:
            epoch: Number of the epoch, an int64 scalar tensor.
        """
        import tensorflow as tf

        if self.draw is not None:
            return self.draw(self.seed, epoch)
        positions = tf.range(self.count, dtype="int64")
        if self.shuffled:
            seed = tf.stack([tf.constant(self.seed, "int64"), epoch])
            positions = tf.random.experimental.stateless_shuffle(positions, seed)
        return positions + self.count * (epoch % self.views)


def endless_epochs(
    examples: Any, steps: int, order: Order, first_epoch: int = 0, first_step: int = 0
) -> Any:
    """Makes a dataset of all epochs, one after the other.

    The batches of an epoch are of nearly equal size: a last batch of one or two
    examples would move the weights as much as a whole one does, and spoil the moving
    statistics of batch norms that train.

    Args:
        examples: Something with `in_order(positions, batch_size)`.
        steps: Batches per epoch.
        order: The order of the examples.
        first_epoch: Number of the epoch to start with.
        first_step: Number of the batch in it to start with.

    Returns:
        `tf.data.Dataset` of batches, without end.
    """
    import tensorflow as tf

    # The first `longer` batches hold one example more than the others.
    size, longer = divmod(order.count, steps)

    def epoch_from(epoch, step):
        positions, border = order.positions(epoch), longer * (size + 1)
        start = step * size + min(step, longer)
        parts = (
            examples.in_order(tf.data.Dataset.from_tensor_slices(part), length)
            for part, length in (
                (positions[start:border], size + 1),
                (positions[max(start, border) :], size),
            )
            if longer or length == size
        )
        return functools.reduce(tf.data.Dataset.concatenate, parts)

    @tf.autograph.experimental.do_not_convert
    def whole_epoch(epoch):
        return epoch_from(epoch, 0)

    # `Dataset.counter` would trace a function of its own for the same numbers.
    batches = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(whole_epoch)
    if first_step:
        rest = epoch_from(tf.constant(first_epoch, "int64"), first_step)
        others = tf.data.Dataset.range(first_epoch + 1, tf.int64.max)
        others = others.flat_map(whole_epoch)
        batches = rest.concatenate(others)
    return batches.prefetch(tf.data.AUTOTUNE)
