"""Names of classes and labels: what they may be, and how numbers stand in for them."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras._keras import made_of
from tlkeras._validation import as_list, check_int, few


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns distinct names as a tuple of `str`, or raises `ValueError`."""
    if isinstance(class_names, str):
        raise ValueError(
            "`class_names` must be a list of names, not one string. "
            f"Received: class_names={class_names!r}."
        )
    if isinstance(class_names, Mapping):
        raise ValueError(
            "`class_names` by head goes with labels by head, a dictionary. "
            f"Received: class_names={class_names!r}."
        )
    names = names_in_order("class_names", class_names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`class_names` must be distinct. Given twice: {twice}.")
    if not names:
        raise ValueError("`class_names` is empty; leave it out or name the classes.")
    return names


def name_classes(classes: Any, fewest: int) -> tuple[str, ...]:
    """Returns the classes' names; numbers from 0 where only their count was given.

    Args:
        classes: The number of classes, or their names.
        fewest: How many there must be.

    Raises:
        ValueError: If they are neither, too few, or not distinct.
    """
    if isinstance(classes, str) or not (
        hasattr(classes, "__index__") or hasattr(classes, "__iter__")
    ):
        raise ValueError(
            "`classes` must be the number of classes or a list of their names. "
            f"Received: classes={classes!r}."
        )
    if isinstance(classes, Numbered) and len(classes) >= fewest:
        return classes
    # Arrays and tensors have `__index__` whatever their shape.
    if hasattr(classes, "__index__") and not getattr(classes, "shape", ()):
        return numbered(check_int("classes", classes, fewest))
    names = names_in_order("classes", classes)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if len(names) < fewest or repeated:
        raise ValueError(
            f"`classes` must name at least {fewest} different classes. Received: "
            f"{len(names)} name(s){f', {repeated} repeated' if repeated else ''}: "
            f"{names}."
        )
    return names


def names_in_order(argument: str, names: Any) -> tuple[str, ...]:
    """Returns names as strings, in their order; TensorFlow has them as bytes."""
    if getattr(names, "name", None) in ("count", "proportion"):
        raise ValueError(
            f"`{argument}` are counts, as `value_counts()` gives them. Pass the names, "
            f"which are its index: `list(counts.index)`. Received: {few([*names])}."
        )
    listed = as_list(argument, names)
    nested = [each for each in listed if isinstance(each, list | tuple | Mapping)]
    if nested:
        raise ValueError(
            f"`{argument}` must be a flat list of names. Received: {nested[0]!r} in it."
        )
    return tuple(
        name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        for name in listed
    )


class Numbered(tuple):
    """Numbers that stand for the names of classes of which only the count is known."""


def numbered(count: int) -> Numbered:
    """Returns `"0"`, `"1"`, and so on."""
    return Numbered(map(str, range(count)))


def names_config(names: tuple[str, ...]) -> list[str] | int:
    """Returns what a file keeps of names: their count where only that is known."""
    return len(names) if isinstance(names, Numbered) else list(names)


def stand_for(known: Sequence[str] | None, names: Sequence[str]) -> bool:
    """Whether a model's classes are but numbers, which stand for the names of data.

    Args:
        known: The model's classes; `None` where it has none.
        names: The data's.
    """
    return isinstance(known, Numbered) and len(known) == len(names)


class Mapped(tuple):
    """Names that data had before a function changed them, maybe the labels, too."""


def names_of_keras_data(data: Any) -> tuple[str, ...] | None:
    """Returns the names that data of Keras' own carry, `None` where they carry none.

    Args:
        data: What `keras.utils.image_dataset_from_directory`, which sets `class_names`,
            or `flow_from_directory`, which sets `class_indices`, returns; a dataset
            that `map`, `cache`, `prefetch` and the like made of it; or anything.
    """
    for each, mapped in made_of(data):
        names = _names_on(each)
        if names is not None:
            return Mapped(names) if mapped else names
    return None


def _names_on(data: Any) -> tuple[str, ...] | None:
    names = getattr(data, "class_names", None)
    indices = getattr(data, "class_indices", None)
    if names is None and isinstance(indices, Mapping):
        names = sorted(indices, key=indices.get)
    are_names = isinstance(names, list | tuple) and len(names) > 0
    return tuple(map(str, names)) if are_names else None


def check_same_classes(
    argument: str, names: Sequence[str] | None, known: Sequence[str] | None
) -> None:
    """Raises `ValueError` where data's classes cannot be those of a model.

    Names may differ, as in another language, and numbers may stand for them; the count
    of names and the order of those that are the same may not. Where a function may have
    changed the labels since, another order is warned of, and another count may be.

    Args:
        argument: The data's name, for the message.
        names: The data's classes; `None` where they are not known.
        known: The model's classes; `None` where they are not known.
    """
    if names is None or known is None or stand_for(known, names):
        return
    problem = f"{len(known)} in number"
    if len(names) == len(known):
        places = {name: place for place, name in enumerate(known)}
        in_order = all(places.get(name, i) == i for i, name in enumerate(names))
        if in_order or (isinstance(names, Numbered) and set(names) != set(known)):
            return
        problem = "in another order"
    elif isinstance(names, Mapped):
        return
    said = (
        f"`{argument}` has {len(names)} classes, {few(names)}; those of the model are "
        f"{problem}: {few(known)}. Build the model with `data.class_names`, or read "
        "the data with `class_names=model.class_names`."
    )
    if not isinstance(names, Mapped):
        raise ValueError(said)
    warnings.warn(
        f"{said} If a function that `map` was given has changed the labels to the "
        "model's order, all is well.",
        UserWarning,
        stacklevel=3,
    )


def check_count(names: Sequence[str], outputs: int) -> None:
    """Raises `ValueError` unless there is a name for each output of a model."""
    if len(names) != outputs:
        raise ValueError(
            f"`class_names` must be a sequence of {outputs} names, one for each class "
            f"that the model tells apart. Received: {tuple(names)!r}."
        )


def are_zero_or_one(values: np.ndarray) -> bool:
    """Whether all values are 0 or 1."""
    is_number = values.dtype.kind in "biuf"
    return is_number and bool(np.all((values == 0) | (values == 1)))


def are_whole(values: np.ndarray) -> bool:
    """Whether all values are whole numbers."""
    return bool(np.all(values == np.floor(values)))


def within_unit(values: np.ndarray) -> bool:
    """Whether all values lie between 0 and 1."""
    return bool(np.all((values >= 0) & (values <= 1)))


def sum_to_one(outputs: np.ndarray) -> bool:
    """Whether all rows are probabilities of exclusive classes."""
    sums = outputs.sum(axis=1)
    # A row of bfloat16 probabilities sums to 1 to within this.
    return bool(np.all(outputs >= 0) and np.all(np.abs(sums - 1) <= 1e-2))


def unit_values(outputs: np.ndarray, logits: bool | None = None) -> np.ndarray:
    """Returns the probabilities of labels that are not exclusive, each by itself.

    Args:
        outputs: What a model gave.
        logits: Whether these are logits; `None`: whether one lies outside 0 to 1.
    """
    if logits is not True and within_unit(outputs):
        return outputs
    if logits is False:
        _warn_of_range("clipped, as the loss does")
        return np.clip(outputs, 0, 1)
    from scipy.special import expit

    return expit(outputs)


def class_shares_of(outputs: np.ndarray, logits: bool | None = None) -> np.ndarray:
    """Returns the probabilities of exclusive classes.

    Args:
        outputs: What a model gave, a column per class.
        logits: Whether these are logits; `None`: whether a row does not sum to 1.
    """
    if logits is not True and sum_to_one(outputs):
        return outputs
    sums = outputs.sum(axis=1, keepdims=True)
    if logits is False and np.all(outputs >= 0) and np.all(sums > 0):
        # Such as a sigmoid for each class: Keras' losses divide by the sum, too.
        return outputs / sums
    if logits is False:
        _warn_of_range("taken for logits")
    from scipy.special import softmax

    return softmax(outputs, axis=1)


def _warn_of_range(done: str) -> None:
    warnings.warn(
        "The model's loss takes probabilities (from_logits=False), but its outputs are "
        f"none; they are {done}. Give the last layer a softmax or sigmoid, or the loss "
        "from_logits=True, and train again.",
        UserWarning,
        stacklevel=2,
    )


def unfit(labels: np.ndarray, outputs: np.ndarray, valid: str) -> ValueError:
    """Makes the error for labels that cannot belong to outputs."""
    return ValueError(
        f"Labels of shape {labels.shape} do not fit outputs of shape {outputs.shape}. "
        f"They must have {valid}."
    )
