"""Small runs that tests of resuming, of replicas and of workers share."""

import itertools

import keras
from helpers import solid_colours, tiny_backbone

# 35 examples in batches of at most 12: 12, 12 and 11, and of 6, 6 and 5 on a replica.
X, Y = solid_colours(35, 3)
# 23 in batches of 12: 12 and 11.
VAL_X, VAL_Y = solid_colours(23, 3, seed=1)
SETTINGS = {
    "head_epochs": 2,
    "epochs": 2,
    "unfreeze_from": "block3",
    "learning_rate": 0.05,
    "fine_tune_learning_rate": 0.02,
    # Unlike Adam it feels each factor of a gradient.
    "optimizer": "sgd",
    "cache": "memory",
    "batch_size": 12,
    "verbose": 0,
}


class Stopped(Exception):
    """Stands in for the end of the process."""


class StopAt(keras.callbacks.Callback):
    """Raises after a number of steps, counted through all phases; `None`: never."""

    def __init__(self, steps=None):
        super().__init__()
        # An iterator, which no checkpoint keeps.
        self.steps = itertools.count() if steps is None else iter(range(steps - 1))

    def on_train_batch_end(self, batch, logs=None):
        if next(self.steps, None) is None:
            raise Stopped


def plain_backbone():
    """Returns the tiny backbone without dropout, whose masks no two replicas share."""
    backbone = tiny_backbone()
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return backbone
