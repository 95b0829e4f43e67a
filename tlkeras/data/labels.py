"""What labels mean: class ids, multi-hot rows or targets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import check_choice, unknown_name

TASKS = ("classification", "multi_label", "regression")


class Labels(NamedTuple):
    """Labels in the form that `Examples` hold them in.

    Attributes:
        values: int32 class ids `(n,)`, float32 multi-hot rows `(n, k)`, or float32
            targets `(n,)` or `(n, k)`.
        class_names: One name per class, `None` for regression.
        task: `"classification"`, `"multi_label"` or `"regression"`.
    """

    values: np.ndarray
    class_names: tuple[str, ...] | None
    task: str


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns distinct names as a tuple of `str`, or raises `ValueError`."""
    if isinstance(class_names, str):
        raise ValueError(
            "`class_names` must be a list of names, not one string. "
            f"Received: class_names={class_names!r}."
        )
    names = tuple(str(name) for name in class_names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`class_names` must be distinct. Given twice: {twice}.")
    if not names:
        raise ValueError("`class_names` is empty; leave it out or name the classes.")
    return names


def read_labels(
    y: Any, class_names: Sequence[str] | None = None, task: str | None = None
) -> Labels:
    """Works out what `y` means.

    Whole numbers and strings are classes. Rows of 0 and 1 are one-hot where each
    has exactly one 1 (classification), multi-hot otherwise. Other floats are
    regression targets. A trailing axis of length 1 is dropped.

    Args:
        y: Labels, one per example.
        class_names: The classes, in the order of their ids. Derived where `None`:
            sorted strings, or `"0"`, `"1"`, and so on.
        task: One of `TASKS`, where it is not to be worked out.

    Returns:
        The `Labels`.

    Raises:
        ValueError: If `y` does not fit together, or not with the other arguments.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    names = None if class_names is None else check_class_names(class_names)
    values = _as_array(y)
    task = task or _infer_task(values)
    if task == "regression":
        return _targets(values, names)
    if values.ndim == 2:
        return _from_rows(values, names, task)
    if task == "multi_label":
        raise ValueError(
            "A multi-label task needs `y` of shape (n, classes), a 1 for each label "
            f"that applies. Received: shape {values.shape}."
        )
    return _from_classes(values, names)


def _as_array(y: Any) -> np.ndarray:
    """Returns `y` as an array of numbers or of `str`, `(n,)` or `(n, k)`."""
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"`y` must be a regular array of labels: {error}.") from error
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise ValueError(
            "`y` must have shape (n,), or (n, k) for one-hot or multi-hot rows and "
            f"several targets. Received: shape {values.shape}."
        )
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "O" and all(isinstance(v, str) for v in values.flat):
        values = values.astype(str)
    if values.dtype.kind == "b":
        values = values.astype(np.int32)
    if values.dtype.kind not in "iufU":
        raise ValueError(
            "`y` must hold whole numbers, strings or floats, one kind only. "
            f"Received: dtype {values.dtype}."
        )
    if values.dtype.kind == "f":
        _check_finite(values)
    return values


def _check_finite(values: np.ndarray) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"`y` has NaN or infinite values in {bad.sum()} of {len(bad)} examples, "
            f"first at index {int(np.argmax(bad))}. Remove these examples."
        )


def _infer_task(values: np.ndarray) -> str:
    if values.ndim == 2 and _is_binary(values):
        is_one_hot = (values.sum(axis=1) == 1).all()
        return "classification" if is_one_hot else "multi_label"
    is_class = values.ndim == 1 and values.dtype.kind in "iuU"
    return "classification" if is_class else "regression"


def _is_binary(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf" and bool(((values == 0) | (values == 1)).all())


def _targets(values: np.ndarray, names: tuple[str, ...] | None) -> Labels:
    if values.dtype.kind == "U":
        raise ValueError("Strings in `y` cannot be regression targets.")
    if names is not None:
        raise ValueError(
            f"`y` of dtype {values.dtype} was read as regression targets, which have "
            "no `class_names`. For classes pass whole numbers, "
            "`y.astype('int32')`, or strings; for targets leave `class_names` out."
        )
    return Labels(values.astype(np.float32), None, "regression")


def _from_rows(values: np.ndarray, names: tuple[str, ...] | None, task: str) -> Labels:
    if not _is_binary(values):
        raise ValueError(
            f"With task={task!r}, `y` of shape {values.shape} must hold only 0 and 1. "
            f"Received: values from {values.min()} to {values.max()}."
        )
    names = names or _numbered(values.shape[1])
    if len(names) != values.shape[1]:
        raise ValueError(
            f"`y` has {values.shape[1]} columns, but `class_names` has {len(names)} "
            "names. There must be one name per column."
        )
    if task == "multi_label":
        return Labels(values.astype(np.float32), names, task)
    off = values.sum(axis=1) != 1
    if off.any():
        raise ValueError(
            "With task='classification', each row of a 2-D `y` must have exactly one "
            f"1. {off.sum()} of {len(off)} rows have not, first at index "
            f"{int(np.argmax(off))}. If labels are not exclusive, pass "
            "task='multi_label'."
        )
    return Labels(values.argmax(axis=1).astype(np.int32), names, task)


def _from_classes(values: np.ndarray, names: tuple[str, ...] | None) -> Labels:
    if values.dtype.kind == "U":
        return _from_strings(values, names)
    if values.dtype.kind == "f":
        raise ValueError(
            f"With task='classification', `y` must hold whole numbers or strings. "
            f"Received: dtype {values.dtype}. If these are class ids, pass "
            "`y.astype('int32')`."
        )
    return _from_ids(values, names)


def _from_strings(values: np.ndarray, names: tuple[str, ...] | None) -> Labels:
    present = np.unique(values)
    names = names or tuple(present.tolist())
    for name in present.tolist():
        if name not in names:
            raise unknown_name("class name", name, names)
    ids = np.array([names.index(name) for name in present.tolist()], np.int32)
    return Labels(ids[np.searchsorted(present, values)], names, "classification")


def _from_ids(values: np.ndarray, names: tuple[str, ...] | None) -> Labels:
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
    names = names or _numbered(top + 1)
    return Labels(values.astype(np.int32), names, "classification")


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


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(count))
