"""Datasets and arrays of the user's own, as `keras.Model.fit` takes them."""

from typing import Any

from tlkeras.augmentation import Augment
from tlkeras.inputs.given import as_tuples, count_of

ARRAYS = ("y", "sample_weight")


def count_batches(data: Any) -> int | None:
    """Returns the number of batches, `None` where only reading them would tell."""
    try:
        count = len(data)
    except TypeError:
        return None
    return count if count > 0 else None


def batches_of(arrays: tuple, shuffled: bool = True) -> Any:
    """Makes batches of a tuple of arrays, as `fit` would."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(as_tuples(arrays))
    if shuffled:
        dataset = dataset.shuffle(count_of(arrays[1]))
    return dataset.batch(32)


def as_batches(arguments: dict[str, Any]) -> Any:
    """Returns the training data among the arguments of `fit` as a dataset."""
    arrays = [arguments[name] for name in ARRAYS if name in arguments]
    return batches_of((arguments["x"], *arrays)) if arrays else arguments["x"]


def augmented(batches: Any, augment: Augment, first_epoch: int) -> dict[str, Any]:
    """Augments a dataset of the user's own, each epoch in another way."""
    import tensorflow as tf

    steps = int(batches.cardinality())
    if steps > 0:
        endless = augment.over(batches.repeat(), first_epoch * steps).prefetch(2)
        return {"x": endless, "steps_per_epoch": steps, "shuffle": False}

    def augment_next(x, y, *weights):
        return (*augment(x, y), *weights)

    passes = batches.map(augment_next).prefetch(tf.data.AUTOTUNE)
    return {"x": passes, "shuffle": False}
