"""Loading in parallel inside `tf.data`, with failures that say what failed."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# For functions given to `tf.data`: they hold no Python control flow to convert, and
# looking for some would take a second per dataset.
plain_graph = tf.autograph.experimental.do_not_convert

_NO_KEY = np.int64(-1)


def load_batches(
    elements: tf.data.Dataset,
    load: Callable[..., tf.Tensor],
    describe: Callable[[tf.Tensor], tf.Tensor],
    *,
    shape: tuple[int, ...],
    batch_size: int,
) -> tf.data.Dataset:
    """Loads elements in parallel, in order, and names the one that fails.

    TensorFlow's decoders report that *some* image is invalid, and a graph cannot
    catch that. A dataset can drop elements that fail, though. So each element is
    linked to the key of the one before it, failures are dropped, and the gap in the
    chain tells which one is missing. An end marker closes the chain.

    Args:
        elements: Tuples of an int64 key, 0 or more, and the inputs of `load`; of
            known cardinality.
        load: Maps a key and its inputs to float32 pixels; may fail.
        describe: Maps a key to a scalar string, for the error message.
        shape: The shape of what `load` returns.
        batch_size: Elements per batch.

    Returns:
        A dataset of batches `(keys, x)`, int64 `(batch,)` and float32
        `(batch, *shape)`.
    """

    @plain_graph
    def link(before, element):
        return element[0], (before, *element)

    @plain_graph
    def load_linked(before, key, *inputs):
        x = tf.cond(key < 0, lambda: tf.zeros(shape), lambda: load(key, *inputs))
        return before, key, tf.ensure_shape(x, shape)

    @plain_graph
    def check_chain(last, batch):
        befores, keys, x = batch
        is_gap = befores != tf.concat([[last], keys[:-1]], axis=0)
        lost = describe(tf.maximum(befores[tf.argmax(tf.cast(is_gap, tf.int8))], 0))
        message = ["Could not be read or decoded:", lost]
        whole = tf.debugging.Assert(~tf.reduce_any(is_gap), message)
        with tf.control_dependencies([whole]):
            return keys[-1], (keys, tf.identity(x))

    chain = elements.concatenate(_end_marker(elements)).scan(_NO_KEY, link)
    loaded = chain.map(load_linked, tf.data.AUTOTUNE).ignore_errors()
    count = elements.cardinality()
    batches = loaded.take(count).batch(batch_size).scan(_NO_KEY, check_chain)
    number_of_batches = (count + batch_size - 1) // batch_size
    return batches.apply(tf.data.experimental.assert_cardinality(number_of_batches))


def _end_marker(elements: tf.data.Dataset) -> tf.data.Dataset:
    """Makes a dataset of one element with the key -1 and empty inputs."""
    _, *inputs = elements.element_spec
    blank = [tf.zeros(spec.shape, spec.dtype) for spec in inputs]
    return tf.data.Dataset.from_tensors((_NO_KEY, *blank))
