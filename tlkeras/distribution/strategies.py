"""Which `tf.distribute` strategy a model was built under."""

import contextlib
from typing import Any

import keras


def strategy_of(model: keras.Model) -> Any:
    """Returns the strategy that a model was built under, `None` if there is none."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        return None
    import tensorflow as tf

    # Without a strategy TensorFlow hands out one that does nothing.
    with strategy.scope():
        return strategy if tf.distribute.has_strategy() else None


def is_tpu(strategy: Any) -> bool:
    """Whether a strategy is that of a TPU, which compiles each shape anew."""
    return "TPU" in type(strategy).__name__


def scope_of(model: keras.Model) -> contextlib.AbstractContextManager:
    """Returns the context in which optimizers and metrics for `model` are made."""
    strategy = strategy_of(model)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def sum_over_replicas(value: Any) -> Any:
    """Returns a tensor summed over the replicas that take this step together."""
    if keras.backend.backend() != "tensorflow":
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
