"""Data as users hand them to verbs: arrays in structures, and Keras' own batches."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

import keras
import numpy as np

from tlkeras.inputs.examples import reading_of
from tlkeras.inputs.texts.reading import holds_texts, text_array

# Of a dataset that does not tell how many it has.
_MOST_BATCHES = 1_000_000
# Tells our assertion from those of a user's own.
_NO_END = "seems to have no end"


def count_of(part: Any) -> int:
    """Returns the number of examples of arrays, one or several in a structure."""
    return len(keras.tree.flatten(part)[0])


def is_one_array(part: Any) -> bool:
    """Whether inputs or labels are one array, not a list or dictionary of some."""
    return hasattr(part, "shape")


def as_tuples(part: Any) -> Any:
    """Returns a structure with tuples for its lists, which `tf.data` would stack."""
    if isinstance(part, dict):
        return {name: as_tuples(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return tuple(map(as_tuples, part))
    return part


def with_texts_in_one_array(data: Any) -> Any:
    """Returns data whose texts, or pairs of them, are one array of strings.

    They may come as a list, an array of objects, or a column of pandas or PyArrow.

    Args:
        data: As a verb was given them.

    Raises:
        ValueError: If something else is among the texts, or inputs are a set or an
            iterator.
    """
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        return data
    x, *rest = data
    if isinstance(x, (Set, Iterator)):
        raise ValueError(
            "Inputs must be an array or a list, which has an order and can be read "
            f"again. Received: ({type(x).__name__}, labels). Pass `list(...)` of it."
        )
    if isinstance(x, (list, tuple)):
        may_be_texts = not any(map(is_one_array, x))
    else:
        # An array of strings has no gaps, and a tensor neither.
        strings = isinstance(x, np.ndarray) and x.dtype.kind != "O"
        is_column = hasattr(x, "__array__") and not keras.ops.is_tensor(x)
        may_be_texts = is_column and not strings
    return (text_array(x), *rest) if may_be_texts and holds_texts(x) else data


def with_one_input(model: keras.Model, data: Any, name: str) -> Any:
    """Returns data whose one input is one array, where it came as a list of examples.

    Args:
        model: What the data are for.
        data: As a verb was given them.
        name: What they are called.

    Raises:
        ValueError: If the examples differ in shape.
    """
    data = with_texts_in_one_array(data)
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        return data
    x, *rest = data
    listed = isinstance(x, (list, tuple)) and len(x) and all(map(is_one_array, x))
    if not listed or len(getattr(model, "inputs", None) or ()) != 1:
        return data
    if len(x) == 1 and len(model.inputs[0].shape) == np.ndim(x[0]):
        # The one input in a list, as Keras takes it.
        return (x[0], *rest)
    shapes = sorted({tuple(np.shape(each)) for each in x})
    if len(shapes) > 1:
        raise ValueError(
            f"The inputs of `{name}` must have one shape to make a batch. Received "
            f"examples of shapes {shapes[:4]}: resize them."
        )
    return (np.stack([np.asarray(each) for each in x]), *rest)


def weight_array(weights: Any, about: str = "Sample weights") -> np.ndarray:
    """Returns sample weights as a float32 array.

    Args:
        weights: As a verb was given them.
        about: What they are called.

    Raises:
        ValueError: If they are no array of numbers.
    """
    if isinstance(weights, Mapping):
        raise ValueError(
            f"{about} must be one array, a weight for each example. Received: a "
            f"dictionary of {list(weights)}."
        )
    found = np.asarray(weights)
    if found.dtype.kind in "OSU":
        such = f", such as {found.ravel()[0]!r}" if found.size else ""
        raise ValueError(
            f"{about} must be numbers of at least 0. Received: weights of dtype "
            f"{found.dtype}{such}."
        )
    return found.astype("float32")


def check_weights(
    weights: Any, count: int, about: str = "Sample weights"
) -> np.ndarray:
    """Returns sample weights as a float32 array, one or several for each example.

    Args:
        weights: As a verb was given them.
        count: How many examples there are.
        about: What they are called.

    Raises:
        ValueError: If there are not as many as examples, or one cannot be a weight.
    """
    found = weight_array(weights, about)
    if found.shape[:1] != (count,):
        raise ValueError(
            f"{about} must be one weight for each of {count} examples, as in a tuple "
            f"(x, y, sample_weight). Received: weights of shape {found.shape}."
        )
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ValueError(
            f"{about} must be finite numbers of at least 0, not all of them 0. "
            f"Received: from {found.min():g} to {found.max():g}."
        )
    return found


def ends(data: Any) -> bool:
    """Whether batches have an end, where they tell: `tf.data` and Keras' own do."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is not None
    # `tf.data` counts an endless dataset as -1 and an unknown one as -2.
    cardinality = getattr(data, "cardinality", None)
    return not callable(cardinality) or int(cardinality()) != -1


def bounded(batches: Any, name: str) -> Any:
    """Returns batches that fail within `end_is_told` where they seem to have no end.

    Args:
        batches: A `tf.data.Dataset`; one of `Splits` or that tells its number, and
            anything else, stays as it is.
        name: What it is called.
    """
    cardinality = getattr(batches, "cardinality", None)
    if not callable(cardinality) or int(cardinality()) != -2:
        return batches
    if reading_of(batches) is not None:
        return batches
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def check(number, batch):
        most = tf.constant(_MOST_BATCHES, tf.int64)
        tf.debugging.assert_less(number, most, f"{name} {_NO_END}")
        return batch

    return batches.enumerate().map(check)


@contextlib.contextmanager
def end_is_told() -> Iterator[None]:
    """Surrounds reading of `bounded` batches; says what is wrong where there is no end.

    Raises:
        ValueError: If there have been too many of them.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(rf"\[(\w+) {_NO_END}\]", str(error))
        if found is None:
            raise
        raise ValueError(
            f"`{found[1]}` has given {_MOST_BATCHES:,} batches and no end. Where it "
            "has none, add `.take(number_of_batches)`; where it has one, say how many "
            "there are: `.apply(tf.data.experimental.assert_cardinality(number))`."
        ) from None


def as_tf_data(batches: Any) -> Any:
    """Returns a `PyDataset` as a `tf.data.Dataset`, anything else as it is.

    Each pass over it is an epoch of the `PyDataset`.
    """
    if not isinstance(batches, keras.utils.PyDataset):
        return batches
    import tensorflow as tf

    def spec(array: Any) -> tf.TensorSpec:
        array = np.asarray(array)
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    def epoch() -> Any:
        for number in range(batches.num_batches):
            yield as_tuples(batches[number])
        batches.on_epoch_end()

    signature = keras.tree.map_structure(spec, as_tuples(batches[0]))
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches.num_batches))
