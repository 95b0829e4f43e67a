"""Predictions of a model that was built under a strategy."""

from typing import Any

import keras
import numpy as np

from tlkeras.distribution.strategies import strategy_of
from tlkeras.distribution.workers import Workers


def predict(model: keras.Model, plain: Any, x: Any, batch_size: int | None, **kwargs):
    """Predicts on all replicas of this process, as `keras.Model.predict` does.

    Keras gives some replicas no example where a last batch has fewer than there are
    replicas, and some operations fail on none; of several workers it waits for all.

    Args:
        model: A functional model.
        plain: Its own `predict`, of Keras.
        x: Arrays, or a dataset.
        batch_size: Examples per step, `None` for Keras' 32 or the dataset's own.
        **kwargs: Further arguments of `predict`.
    """
    strategy = strategy_of(model)
    if strategy is None:
        return plain(x, batch_size=batch_size, **kwargs)

    def alone(x, **arguments):
        return plain_model(model).predict(x, **arguments)

    if Workers(strategy).count > 1:
        return alone(x, batch_size=batch_size, **kwargs)
    sizes = {len(part) for part in keras.tree.flatten(x) if hasattr(part, "shape")}
    if len(sizes) != 1:
        return plain(x, batch_size=batch_size, **kwargs)
    rows, size = sizes.pop(), batch_size or 32
    last = rows % size if size >= strategy.num_replicas_in_sync else rows
    tail = last if last < strategy.num_replicas_in_sync or last == rows else 0
    parts = [
        predict_part(cut(x, part), batch_size=batch_size, **kwargs)
        for predict_part, part in (
            (plain, slice(0, rows - tail)),
            (alone, slice(rows - tail, rows)),
        )
        if part.stop > part.start
    ]
    if not parts:
        return plain(x, batch_size=batch_size, **kwargs)
    return keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)


def plain_model(model: keras.Model) -> keras.Model:
    """Returns a model over the same layers that this process computes by itself."""
    plain = keras.Model(model.input, model.output)
    # Keras would have XLA compile what was never compiled, for each size of a batch.
    plain.jit_compile = False
    return plain


def cut(x: Any, rows: slice) -> Any:
    """Returns some rows of arrays."""
    return keras.tree.map_structure(lambda part: part[rows], x)
