"""Predictions of models under a strategy, and of those that XLA compiles."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tlkeras.distribution.strategies import is_tpu, strategy_of
from tlkeras.distribution.workers import Workers


def predict(model: keras.Model, plain: Any, x: Any, batch_size: int | None, **kwargs):
    """Predicts on all replicas of this process, as `keras.Model.predict` does.

    Keras gives some replicas no example where a last batch has fewer than there are
    replicas, and some operations fail on none; of several workers it waits for all.
    Where each shape is compiled anew, the last batch is filled up; datasets, whose
    batches may be of any shape, are predicted without XLA.

    Args:
        model: A functional model.
        plain: Its own `predict`, of Keras.
        x: Arrays, or a dataset.
        batch_size: Examples per step, `None` for Keras' 32 or the dataset's own.
        **kwargs: Further arguments of `predict`.
    """
    strategy, one_shape = strategy_of(model), compiles_each_shape(model)
    if strategy is None and not one_shape:
        return plain(x, batch_size=batch_size, **kwargs)

    def alone(x, **arguments):
        return plain_model(model).predict(x, **arguments)

    if Workers(strategy).count > 1:
        return alone(x, batch_size=batch_size, **kwargs)
    sizes = {len(part) for part in keras.tree.flatten(x) if hasattr(part, "shape")}
    if len(sizes) != 1:
        any_shape = alone if strategy is None else plain
        return any_shape(x, batch_size=batch_size, **kwargs)
    rows, size = sizes.pop(), batch_size or 32
    if one_shape:
        tail, of_tail = rows % size, in_one_shape(plain, size)
    else:
        count, of_tail = strategy.num_replicas_in_sync, alone
        last = rows % size if size >= count else rows
        tail = last if last < count or last == rows else 0
    parts = [
        predict_part(cut(x, part), batch_size=batch_size, **kwargs)
        for predict_part, part in (
            (plain, slice(0, rows - tail)),
            (of_tail, slice(rows - tail, rows)),
        )
        if part.stop > part.start
    ]
    if not parts:
        return plain(x, batch_size=batch_size, **kwargs)
    return keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)


def compiles_each_shape(model: keras.Model) -> bool:
    """Whether a model that predicts is compiled anew for each shape, which is slow."""
    strategy = strategy_of(model)
    if strategy is not None:
        return is_tpu(strategy)
    return keras.backend.backend() == "tensorflow" and bool(model.jit_compile)


def in_one_shape(predict: Callable, size: int = 0) -> Callable:
    """Returns a function that predicts smaller batches as large as the largest yet.

    Args:
        predict: From a batch, and further arguments, to outputs.
        size: Rows that a batch has at least.
    """
    largest = size

    def run(x, **kwargs):
        nonlocal largest
        rows = len(keras.tree.flatten(x)[0])
        largest = max(largest, rows)
        return cut(predict(fill_rows(x, largest), **kwargs), slice(rows))

    return run


def fill_rows(x: Any, size: int) -> Any:
    """Returns arrays of `size` rows: those that are added repeat the first one."""

    def fill(part):
        missing = size - len(part)
        if not missing:
            return part
        part = keras.ops.convert_to_numpy(part)
        return np.concatenate([part, np.repeat(part[:1], missing, axis=0)])

    return keras.tree.map_structure(fill, x)


def plain_model(model: keras.Model) -> keras.Model:
    """Returns a model over the same layers that this process computes by itself."""
    plain = keras.Model(model.input, model.output)
    # Keras would have XLA compile what was never compiled, for each size of a batch.
    plain.jit_compile = False
    return plain


def cut(x: Any, rows: slice) -> Any:
    """Returns some rows of arrays."""
    return keras.tree.map_structure(lambda part: part[rows], x)
