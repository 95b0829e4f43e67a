"""Names of classes and labels: what they may be, and how numbers stand in for them."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras._validation import check_int


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
    names = tuple(str(name) for name in class_names)
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
    if isinstance(classes, np.ndarray):
        classes = classes.tolist()
    if hasattr(classes, "__index__"):
        return numbered(check_int("classes", classes, fewest))
    names = tuple(map(str, classes))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if len(names) < fewest or repeated:
        raise ValueError(
            f"`classes` must name at least {fewest} different classes. Received: "
            f"{len(names)} name(s){f', {repeated} repeated' if repeated else ''}: "
            f"{names}."
        )
    return names


def numbered(count: int) -> tuple[str, ...]:
    """Returns `"0"`, `"1"`, and so on."""
    return tuple(str(number) for number in range(count))


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
