"""Labels of `Classes` in any form: read as class numbers, and checked."""

from collections.abc import Sequence

import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.outputs.column import ClassLookup
from tlkeras.outputs.naming import are_zero_or_one, numbered, sum_to_one
from tlkeras.outputs.sampling import are_numbers


def check_several(numbers: np.ndarray, names: Sequence[str]) -> None:
    """Raises `ValueError` where the examples are not of at least two classes."""
    present = np.unique(numbers)
    if len(present) < 2:
        only = ", ".join(repr(names[i]) for i in present)
        raise ValueError(
            "A classifier needs examples of at least two classes. Received: "
            f"{len(numbers)} examples of {only or 'none'}."
        )


def check_truth(labels: np.ndarray, names: Sequence[str], about: str) -> None:
    """Raises `ValueError` for booleans whose positions turn the names round."""
    if labels.dtype != bool or not are_numbers(labels.shape, len(names)):
        return
    if ClassLookup(names).turned_round([False, True]) is not None:
        raise ValueError(
            f"{about} are booleans, which stand for positions here: False would be "
            f"{names[0]!r}, True {names[1]!r}. Pass `~y`, or read the data with "
            "`tl.from_arrays(x, y, class_names=model.class_names)`."
        )


def check_shares(rows: np.ndarray, about: str) -> None:
    """Raises `ValueError` unless each row holds one class, or shares of several."""
    if rows.shape[-1] > 1 and not sum_to_one(rows.astype("float64")):
        sums = rows.sum(axis=-1)
        first = int(np.argmax((rows < 0).any(axis=-1) | (np.abs(sums - 1) > 1e-2)))
        raise ValueError(
            f"{about} must be one-hot rows, or shares of the classes that "
            "sum to 1: the model gives each input one class. Received: "
            f"{rows[first].tolist()[:10]} at index {first}. Where an input may have "
            "several labels, or none, build the model with multi_label=True (a sigmoid "
            "for each, binary cross-entropy)."
        )


def numbers_of_rows(
    values: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the class numbers of one-hot rows, and the classes' names."""
    names = check_rows(values, names, "classification")
    off = values.sum(axis=1) != 1
    if off.any():
        raise ValueError(
            "With task='classification', each row of a 2-D `y` must have exactly one "
            f"1. {off.sum()} of {len(off)} rows have not, first at index "
            f"{int(np.argmax(off))}. If labels are not exclusive, pass "
            "task='multi_label'."
        )
    return values.argmax(axis=1).astype(np.int32), names


def check_rows(
    values: np.ndarray, names: tuple[str, ...] | None, task: str
) -> tuple[str, ...]:
    """Returns the names of columns of 0 and 1, or raises `ValueError`."""
    if not are_zero_or_one(values):
        text = values.dtype.kind == "U"
        came = "strings" if text else f"values from {values.min()} to {values.max()}"
        raise ValueError(
            f"With task={task!r}, `y` of shape {values.shape} must hold only 0 and 1. "
            f"Received: {came}."
        )
    names = names or numbered(values.shape[1])
    if len(names) != values.shape[1]:
        raise ValueError(
            f"`y` has {values.shape[1]} columns, but `class_names` has {len(names)} "
            "names. There must be one name per column."
        )
    return names


def numbers_of_names(
    values: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the numbers of classes that come by name, and all names."""
    present = np.unique(values)
    names = names or tuple(present.tolist())
    for name in present.tolist():
        if name not in names:
            raise unknown_name("class name", name, names)
    ids = np.array([names.index(name) for name in present.tolist()], np.int32)
    return ids[np.searchsorted(present, values)], names


def checked_numbers(
    values: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns class numbers that may be so, and the classes' names."""
    if len(values) and values.min() < 0:
        raise ValueError(
            "Class ids in `y` must not be negative. Received: "
            f"{int(values.min())} at index {int(values.argmin())}."
        )
    top = int(values.max()) if len(values) else 0
    if names is not None and top >= len(names):
        raise ValueError(
            f"Class ids in `y` must be 0 to {len(names) - 1}, one per name in "
            f"`class_names` ({len(names)}). Received: {top} at index "
            f"{int(values.argmax())}."
        )
    if names is None:
        _check_no_gaps(values, top)
    return values.astype(np.int32), names or numbered(top + 1)


def _check_no_gaps(values: np.ndarray, top: int) -> None:
    present = np.unique(values)
    if len(present) == top + 1:
        return
    absent = np.setdiff1d(np.arange(min(top + 1, 10_000)), present)
    raise ValueError(
        f"Class ids in `y` go up to {top}, but {len(present)} of them occur; missing "
        f"are {absent[:5].tolist()}{' and more' * (len(absent) > 5)}. Number the "
        "classes from 0 without gaps, or pass `class_names` with a name for every id."
    )


def class_numbers(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns labels as int64 class numbers, or raises `ValueError`."""
    wrong = labels[(labels < 0) | (labels >= classes) | (labels != np.floor(labels))]
    if wrong.size:
        raise ValueError(
            f"Labels must be class numbers from 0 to {classes - 1}: the model tells "
            f"{classes} classes apart. Received {wrong.size} other labels, such as "
            f"{wrong[0]}."
        )
    return labels.astype("int64")
