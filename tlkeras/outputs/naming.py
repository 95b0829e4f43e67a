"""Names of classes and labels: what they may be, and how numbers stand in for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras._validation import as_list, check_int


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
    return tuple(
        name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        for name in as_list(argument, names)
    )


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


def unit_values(outputs: np.ndarray) -> np.ndarray:
    """Returns probabilities as they are, and the sigmoid of anything else."""
    if within_unit(outputs):
        return outputs
    from scipy.special import expit

    return expit(outputs)


def unfit(labels: np.ndarray, outputs: np.ndarray, valid: str) -> ValueError:
    """Makes the error for labels that cannot belong to outputs."""
    return ValueError(
        f"Labels of shape {labels.shape} do not fit outputs of shape {outputs.shape}. "
        f"They must have {valid}."
    )
