"""Loading in parallel inside `tf.data`, with failures that say what failed."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# For functions given to `tf.data`: they hold no Python control flow to convert, and
# looking for some would take a second per dataset.
plain_graph = tf.autograph.experimental.do_not_convert

_NO_POSITION = np.int64(-1)


def load_batches(
    positions: tf.data.Dataset,
    load: Callable[[tf.Tensor], tf.Tensor],
    describe: Callable[[tf.Tensor], tf.Tensor],
    *,
    shape: tuple[int, ...],
    batch_size: int,
) -> tf.data.Dataset:
    """Loads examples in parallel, in order, and names the one that fails.

    TensorFlow's decoders report that *some* image is invalid, and a graph cannot
    catch that. A dataset can drop elements that fail, though. So each position is
    linked to the one before it, failures are dropped, and the gap in the chain tells
    which one is missing. An end marker closes the chain.

    Args:
        positions: Dataset of int64 scalars, 0 or more, of known cardinality, that
            cannot fail itself: its failures would be dropped too.
        load: Maps a position to float32 pixels; may fail.
        describe: Maps a position to a scalar string, for the error message.
        shape: The shape of what `load` returns.
        batch_size: Examples per batch.

    Returns:
        A dataset of batches `(positions, x)`, int64 `(batch,)` and float32
        `(batch, *shape)`.
    """

    @plain_graph
    def link(before, position):
        return position, (before, position)

    @plain_graph
    def load_linked(before, position):
        x = tf.cond(position < 0, lambda: tf.zeros(shape), lambda: load(position))
        return before, position, tf.ensure_shape(x, shape)

    @plain_graph
    def check_chain(last, batch):
        befores, here, x = batch
        is_gap = befores != tf.concat([[last], here[:-1]], axis=0)
        lost = befores[tf.argmax(tf.cast(is_gap, tf.int8))]
        message = [
            "Could not be read or decoded:",
            describe(tf.maximum(lost, 0)),
            "Repair or remove it; the data's `check()` finds all such files.",
        ]
        whole = tf.debugging.Assert(~tf.reduce_any(is_gap), message)
        with tf.control_dependencies([whole]):
            return here[-1], (here, tf.identity(x))

    end_marker = tf.data.Dataset.from_tensors(_NO_POSITION)
    chain = positions.concatenate(end_marker).scan(_NO_POSITION, link)
    loaded = chain.map(load_linked, tf.data.AUTOTUNE).ignore_errors()
    count = positions.cardinality()
    batches = loaded.take(count).batch(batch_size).scan(_NO_POSITION, check_chain)
    number_of_batches = (count + batch_size - 1) // batch_size
    return batches.apply(tf.data.experimental.assert_cardinality(number_of_batches))
