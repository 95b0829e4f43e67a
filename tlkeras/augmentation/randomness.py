"""Where augmentation's random numbers come from: the seed, the step, the batch.

Keras' layers keep the state of their random numbers in a variable. Inside `tf.data`
that has three drawbacks: calls in parallel take numbers in any order, a variable on a
GPU cannot be read by a pipeline on the CPU, and what an epoch sees depends on all that
was read before. Here the random numbers of a batch are a function of the seed and of
the batch's number alone.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from tlkeras._keras import sublayers

_PATCHING = threading.RLock()


class Draws:
    """Seeds for the draws of one step on one batch.

    Args:
        seed: Seed of the whole augmentation.
        step: Position of the step.
        batch: Number of the batch, an int64 scalar tensor.
    """

    def __init__(self, seed: int, step: int, batch: Any):
        self._seed, self._step, self._batch = seed, step, batch
        self._made = 0

    def next(self) -> Any:
        """Returns an int64 tensor of shape `(2,)`, another one at every call."""
        import tensorflow as tf

        place = self._step * 100_000 + self._made
        self._made += 1
        return tf.random.experimental.stateless_fold_in(
            tf.constant([self._seed, place], "int64"), self._batch
        )

    def uniform(self, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Returns float32 numbers from `low` up to `high`."""
        import tensorflow as tf

        return tf.random.stateless_uniform(shape, self.next(), low, high)


def make_generator() -> Any:
    """Returns a `tf.random.Generator` on the CPU, for steps that keep a state."""
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        return tf.random.Generator.from_seed(0, alg="philox")


@contextmanager
def drawing_from(
    draws: Draws, layers: Iterable[keras.layers.Layer], generator: Any = None
) -> Iterator[None]:
    """Lets Keras and KerasCV draw from `draws` while a step is traced.

    Args:
        draws: Seeds of the step.
        layers: The step's layers; they compute in float32 meanwhile, and boxes are
            in pixels.
        generator: A `tf.random.Generator`, which is set to the batch: for KerasCV's
            layers, and for loops over the examples, where one traced seed would serve
            all of them. `None` where the step has neither.
    """
    if generator is not None:
        key, counter = draws.next()[0], draws.next()
        generator.reset_from_key_counter(key, counter)
    with _PATCHING, ExitStack() as undo:
        undo.enter_context(_seed_generators_replaced(draws, generator))
        for layer in layers:
            if layer.compute_dtype != "float32":
                _set_for_now(undo, layer, "dtype_policy", "float32")
            if hasattr(layer, "bounding_box_format"):
                _set_for_now(undo, layer, "bounding_box_format", "xyxy")
            if generator is not None and hasattr(layer, "_random_generator"):
                _set_for_now(undo, layer, "_random_generator", generator)
            if generator is not None and hasattr(layer, "_map_fn"):
                layer._map_fn = _one_by_one
                undo.callback(delattr, layer, "_map_fn")
        yield


@contextmanager
def _seed_generators_replaced(draws: Draws, generator: Any) -> Iterator[None]:
    import tensorflow as tf

    generators = keras.random.SeedGenerator
    original, default_graph = generators.next, tf.compat.v1.get_default_graph
    graph = default_graph()
    thread = threading.get_ident()

    def next_seed(self, ordered=True):
        if threading.get_ident() != thread:
            return original(self, ordered)
        if generator is None or default_graph() is graph:
            return draws.next()
        return generator.uniform_full_int((2,), dtype="int64")

    generators.next = next_seed
    try:
        yield
    finally:
        generators.next = original


def _one_by_one(function: Any, examples: Any) -> Any:
    """Stands in for KerasCV's loop, whose passes take random numbers in any order."""
    import tensorflow as tf

    return tf.map_fn(function, examples, parallel_iterations=1)


def _set_for_now(undo: ExitStack, thing: Any, name: str, value: Any) -> None:
    undo.callback(setattr, thing, name, getattr(thing, name))
    setattr(thing, name, value)


def layers_in(thing: Any) -> list[keras.layers.Layer]:
    """Returns `thing` and the layers inside it, where it is a layer."""
    return sublayers(thing) if isinstance(thing, keras.layers.Layer) else []
