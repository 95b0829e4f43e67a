"""The table of outputs, and which of them labels, predictions or a model are of."""

import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tlkeras._validation import check_choice, in_order, is_missing, unknown_name
from tlkeras.outputs.base import OUTPUTS, Output
from tlkeras.outputs.boxes import Boxes
from tlkeras.outputs.classes import Classes
from tlkeras.outputs.column import (
    BOOLEANS,
    ClassLookup,
    check_no_numbers,
    name_of,
    order_of,
)
from tlkeras.outputs.forecasts import Forecast
from tlkeras.outputs.label_lists import lists_as_rows
from tlkeras.outputs.labels import Labels
from tlkeras.outputs.losses import (
    find_loss,
    is_hinge,
    is_mean_loss,
    takes_logits,
    takes_rows,
)
from tlkeras.outputs.naming import (
    are_whole,
    are_zero_or_one,
    check_class_names,
    check_count,
    numbered,
    sum_to_one,
    unfit,
    within_unit,
)
from tlkeras.outputs.numbers import Numbers

# Whoever adds a kind of output adds its line here.
OUTPUTS.update(
    (kind.task, kind) for kind in (Classes, Labels, Numbers, Boxes, Forecast)
)

TASKS = tuple(OUTPUTS)

# What arrays of objects may hold, one of these kinds.
_CELL_KINDS = (bool, np.bool_), (numbers.Real, Decimal), (str, bytes)


def output_of_task(task: str) -> type[Output]:
    """Returns the kind of output that a word stands for, or raises `ValueError`."""
    return OUTPUTS[check_choice("task", task, tuple(OUTPUTS))]


def output_from_config(config: Mapping[str, Any]) -> Output:
    """Makes an output of what its `get_config` returned."""
    return output_of_task(config["task"]).from_config(config)


def read_labels(
    y: Any, class_names: Sequence[str] | None = None, task: str | None = None
) -> tuple[Output, np.ndarray]:
    """Works out what the labels of data mean.

    Whole numbers, booleans and strings are classes. Rows of 0 and 1 are one-hot where
    each has exactly one 1 (classification), multi-hot otherwise; so are lists of names.
    Other floats are regression targets, but for whole ones with `class_names`. A
    trailing axis of length 1 is dropped.

    Args:
        y: Labels, one per example.
        class_names: The classes, in the order of their ids; `ClassLookup` says which
            label is of which. Derived where `None`: sorted strings, ordered categories
            of pandas in their order, `"False"` and `"True"`, or `"0"`, `"1"`, and so
            on.
        task: One of `TASKS`, where it is not to be worked out.

    Returns:
        The output that they are of; and int32 class numbers `(n,)`, float32 rows of 0
        and 1 `(n, k)`, or float32 targets `(n,)` or `(n, k)`.

    Raises:
        ValueError: If `y` does not fit together, or not with the other arguments.
    """
    names = None if class_names is None else check_class_names(class_names)
    kind = None if task is None else output_of_task(task)
    y = in_order("y", y)
    if kind is not Numbers:
        y, names = lists_as_rows(y, names)
    values = _as_array(y)
    names = _names_of(y, names, kind)
    if kind is None:
        are_classes = (
            names is not None and values.ndim == 1 and _are_whole_floats(values)
        )
        kind = Classes if are_classes else _kind_of(values)
    return kind.of_labels(*_named(values, names, kind, task))


def _names_of(
    y: Any, given: tuple[str, ...] | None, kind: type[Output] | None
) -> tuple[str, ...] | None:
    """Returns the names that the user gave, or that ordered categories have."""
    return order_of(y) if given is None and kind in (None, Classes) else given


def _named(
    values: np.ndarray,
    names: tuple[str, ...] | None,
    kind: type[Output],
    task: str | None,
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Returns class numbers in place of names, and the names; other labels as they are.

    Args:
        values: As `_as_array` returns them, none of them missing.
        names: The classes' names, where they are known.
        kind: The kind of output that they are of.
        task: What the user said of it.
    """
    is_bool = values.dtype.kind == "b"
    if values.ndim == 2 or not issubclass(kind, Classes):
        return values.astype(np.int32) if is_bool else values, names
    if names is None:
        if values.dtype.kind == "U" and task is None:
            check_no_numbers(np.unique(values).tolist(), "`y`")
        return (values.astype(np.int32), BOOLEANS) if is_bool else (values, None)
    lookup = ClassLookup(names)
    distinct, places = np.unique(values, return_inverse=True)
    are_names = lookup.are_names(values.tolist())
    if not are_names and values.dtype.kind != "U":
        # The output checks positions itself.
        whole = values.dtype.kind != "f" or are_whole(values)
        return values.astype(np.int64) if whole else values, names
    find = lookup.by_name if are_names else lookup.by_position
    found = [find(cell) for cell in distinct.tolist()]
    if None in found:
        unknown = name_of(distinct.tolist()[found.index(None)])
        raise unknown_name("class name", unknown, names)
    return np.array(found, np.int32)[places.reshape(-1)], names


def read_labels_with_gaps(
    y: Any, class_names: Sequence[str] | None = None, task: str | None = None
) -> tuple[Output, np.ndarray]:
    """Works out what the labels of a head mean, some of which may be missing.

    Missing are `None` and NaN, and -1 among class numbers. Floats that are whole are
    class numbers where `class_names` or `task` says that there are classes: NaN makes
    floats of numbers.

    Args:
        y: As in `read_labels`.
        class_names: As in `read_labels`.
        task: As in `read_labels`.

    Returns:
        The output that they are of; and its packed rows, NaN where missing.

    Raises:
        ValueError: If `y` does not fit together, or not with the other arguments.
    """
    names = None if class_names is None else check_class_names(class_names)
    kind = None if task is None else output_of_task(task)
    y = in_order("y", y)
    if kind is not Numbers:
        y, names = lists_as_rows(y, names)
    names = _names_of(y, names, kind)
    values, missing = _filled(y)
    kind = kind or kind_of_filled(values, missing, names)
    if kind.are_numbers and values.ndim == 1:
        values, missing, names = _class_numbers(values, missing, names, kind, task)
    return read_filled(values, missing, names, kind)


def _class_numbers(
    values: np.ndarray,
    missing: np.ndarray,
    names: tuple[str, ...] | None,
    kind: type[Output],
    task: str | None,
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Returns labels as `_named` does, zeros where missing, and what is missing."""
    if values.dtype.kind in "iuf" and "-1" not in (names or ()):
        missing = missing | (values == -1)
    known, names = _named(values[~missing], names, kind, task)
    if known.dtype.kind == "f" and are_whole(known):
        known = known.astype(np.int64)
    filled = np.zeros(len(values), known.dtype)
    filled[~missing] = known
    return filled, missing, names


def read_filled(
    values: np.ndarray,
    missing: np.ndarray,
    names: tuple[str, ...] | None,
    kind: type[Output] | None,
) -> tuple[Output, np.ndarray]:
    """Reads labels whose gaps are filled.

    Args:
        values: Numbers or `str`, `(n,)` or `(n, k)`, anything where missing.
        missing: What of it is missing, bool, of the same shape.
        names: As in `Output.of_labels`.
        kind: The kind of output, where it is not to be worked out.

    Returns:
        As `read_labels_with_gaps`.
    """
    kind = kind or kind_of_filled(values, missing, names)
    known = ~missing.reshape(len(missing), -1).all(axis=1)
    if not known.any():
        raise ValueError("All labels are missing: nothing could be learnt.")
    output, labels = kind.of_labels(values[known], names)
    rows = np.full((len(values), output.columns), np.nan, np.float32)
    rows[known] = output.pack(labels, len(labels), "Labels")
    if not output.are_numbers:
        rows[missing.reshape(rows.shape)] = np.nan
    return output, rows


def _filled(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as `_as_array` does, filled where missing, and what is missing."""
    if hasattr(y, "isna"):
        # A column of pandas may hold a missing value of its own kind.
        missing = np.asarray(y.isna())
        y = np.asarray(y, dtype=object)
        y[missing] = None
    # As objects, or NumPy would make strings of what is missing among strings.
    is_list = isinstance(y, (list, tuple))
    try:
        array = np.array(y, dtype=object) if is_list else np.asarray(y)
    except ValueError as error:
        raise ValueError(f"`y` must be a regular array of labels: {error}.") from error
    if array.dtype.kind == "O":
        # Not by `vectorize`, which on some Pythons takes NaN for a failed computation.
        missing = np.array([is_missing(cell) for cell in array.flat], bool)
        missing = missing.reshape(array.shape)
        known = _typed(array[~missing])
        filled = np.zeros(array.shape, known.dtype)
        filled[~missing] = known
    elif array.dtype.kind == "f":
        missing = np.isnan(array)
        filled = np.where(missing, 0, array)
    else:
        missing, filled = np.zeros(array.shape, bool), array
    values = _as_array(filled)
    return values, missing.reshape(values.shape)


def _typed(cells: np.ndarray) -> np.ndarray:
    """Returns objects that are of one kind as an array of it."""
    for kinds in _CELL_KINDS:
        if all(isinstance(cell, kinds) for cell in cells):
            plain = (
                float(cell) if isinstance(cell, Decimal) else cell for cell in cells
            )
            return np.array(list(plain))
    return cells


def kind_of_filled(
    values: np.ndarray, missing: np.ndarray, names: tuple[str, ...] | None
) -> type[Output]:
    """Returns the kind of output that labels are of whose gaps are filled.

    Args:
        values: As in `read_filled`.
        missing: As in `read_filled`.
        names: The classes' names, where the user gave them.
    """
    if values.ndim == 2:
        gone = missing.all(axis=1)
        partly = missing[~gone].any()
        kind = _kind_of(np.where(missing, 0, values)[~gone])
        # What is missing of a row with a single 1 may be another.
        return Labels if partly and issubclass(kind, Classes) else kind
    known = values[~missing]
    are_classes = names is not None and _are_whole_floats(known)
    return Classes if are_classes else _kind_of(known)


def _are_whole_floats(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and are_whole(values)


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
    if values.dtype.kind in "OT" and values.size:
        values = _typed(values.ravel()).reshape(values.shape)
    if values.dtype.kind not in "biufU":
        raise ValueError(
            "`y` must hold whole numbers, strings or floats, one kind only. "
            f"Received: dtype {values.dtype}{_first_of_each_type(values)}."
        )
    if values.dtype.kind == "f":
        _check_finite(values)
    return values


def _first_of_each_type(values: np.ndarray) -> str:
    """Returns where objects of each type are first, for a message."""
    if values.dtype.kind != "O":
        return ""
    types = [type(cell).__name__ for cell in values.flat]
    first = {name: types.index(name) for name in dict.fromkeys(types)}
    found = (f"{values.flat[i]!r} ({name}) at index {i}" for name, i in first.items())
    return f", {', '.join(found)}"


def _check_finite(values: np.ndarray) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"`y` has NaN or infinite values in {bad.sum()} of {len(bad)} examples, "
            f"first at index {int(np.argmax(bad))}. Remove these examples."
        )


def _kind_of(values: np.ndarray) -> type[Output]:
    if values.ndim == 2 and are_zero_or_one(values):
        return Classes if (values.sum(axis=1) == 1).all() else Labels
    is_class = values.ndim == 1 and values.dtype.kind in "biuU"
    return Classes if is_class else Numbers


def read_feature(
    feature: Any, labels: Sequence[np.ndarray]
) -> tuple[Output, np.ndarray]:
    """Works out what a feature of TensorFlow Datasets means as a label.

    Args:
        feature: The `tfds.features.FeatureConnector`.
        labels: One for each example, as the data set gives them.

    Returns:
        The output that they are of, and labels as data hold them.

    Raises:
        ValueError: If it is no label.
    """
    for kind in OUTPUTS.values():
        found = kind.of_feature(feature, labels)
        if found is not None:
            return found
    raise ValueError(
        "The label of a data set must be a class, a sequence of classes or a float. "
        f"Received: {feature!r}."
    )


def read_predictions(
    labels: np.ndarray,
    outputs: np.ndarray,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    logits: bool | None = None,
) -> Output:
    """Works out what output labels and a model's outputs are of.

    Args:
        labels: Numbers of shape `(n,)` or `(n, columns)`.
        outputs: Float32 `(n, outputs)`: probabilities, logits or values.
        task: One of `TASKS`, where it is not to be worked out.
        class_names: Names; by default the numbers from 0.
        logits: Whether outputs that are no numbers of a regression are logits; `None`:
            their values tell.

    Raises:
        ValueError: If more than one would do, or none.
    """
    if labels.ndim > 2:
        raise ValueError(
            "Labels must have shape (n,) or (n, columns). "
            f"Received labels of shape {labels.shape}."
        )
    kind = _kind_of_both(labels, outputs) if task is None else output_of_task(task)
    units = outputs.shape[1]
    if issubclass(kind, Numbers):
        return kind(units, _checked_names(class_names, units))
    single = issubclass(kind, Classes) and units == 1
    count = 2 if single else units
    names = _checked_names(class_names, count) or numbered(count)
    if single:
        return kind(names, single_unit=True, logits=logits)
    return kind(names, logits=logits)


def _checked_names(names: Any, count: int) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = check_class_names(names)
    check_count(names, count)
    return names


def _kind_of_both(labels: np.ndarray, outputs: np.ndarray) -> type[Output]:
    columns = labels.reshape(len(labels), -1).shape[1]
    if columns == 1 and outputs.shape[1] == 1:
        kind = _kind_of_single(labels, outputs)
    elif columns == 1:
        kind = Classes if are_whole(labels) else None
    elif columns == outputs.shape[1]:
        kind = _kind_of_wide(labels, outputs)
    else:
        raise unfit(labels, outputs, "either one column, or one for each output")
    if kind is not None:
        return kind
    raise ValueError(
        f"The task cannot be told from labels of shape {labels.shape} (dtype "
        f"{labels.dtype}) and outputs of shape {outputs.shape}. "
        f"Pass `task`, one of {', '.join(map(repr, TASKS))}."
    )


def _kind_of_single(labels: np.ndarray, outputs: np.ndarray) -> type[Output] | None:
    if not are_zero_or_one(labels):
        return Numbers
    counted = labels.dtype.kind in "biu"
    return Classes if counted or within_unit(outputs) else None


def _kind_of_wide(labels: np.ndarray, outputs: np.ndarray) -> type[Output] | None:
    exclusive = sum_to_one(outputs)
    if not are_zero_or_one(labels):
        return None if exclusive else Numbers
    if np.any(labels.sum(axis=1) != 1):
        # No softmax can have learnt them.
        return None if exclusive else Labels
    return Classes if exclusive else None


def output_of_keras(
    loss: Any,
    activation: str | None,
    units: int,
    labels: np.ndarray | None = None,
    head: bool = False,
) -> Output | None:
    """Returns the output of a Keras model that tlkeras did not build.

    Args:
        loss: What the model was compiled with, or `None`.
        activation: The name of its last activation, or `None`.
        units: Width of its output.
        labels: Labels that it is to learn, or `None`.
        head: Whether it is one of several, by name.

    Returns:
        The output; `None` where nothing tells it.
    """
    kind = _kind_of_loss(loss, units)
    if kind is None and labels is not None:
        kind = _kind_of_targets(labels, units)
    if kind is None:
        kind = {"softmax": Classes, "sigmoid": Labels}.get(activation)
    if kind is None and _is_of_numbers(loss):
        kind = Numbers
    if kind is None:
        return None
    if issubclass(kind, Numbers):
        return Numbers(units)
    if activation == "softmax" and not head:
        # Whatever the loss takes: of the classes each input has one. Labels of heads
        # by name have the form that the loss takes.
        kind = Classes
    logits = logits_of_keras(loss, activation)
    if units == 1:
        return Classes(2, single_unit=True, logits=logits)
    one_hot = {"one_hot": True} if head and kind is Classes and takes_rows(loss) else {}
    return kind(units, logits=logits, **one_hot)


def logits_of_keras(loss: Any, activation: str | None) -> bool | None:
    """Returns whether a classifier's outputs are logits; `None` where nothing tells.

    Args:
        loss: What the model was compiled with, or `None`.
        activation: The name of its last activation, or `None`.
    """
    if activation in ("softmax", "sigmoid"):
        # Also where the loss is told otherwise: Keras looks behind the activation.
        return False
    if is_hinge(loss):
        # Not logits, but on either side of 0, too.
        return True
    from_logits = takes_logits(loss)
    if from_logits is None and activation == "linear" and not _is_of_numbers(loss):
        return True
    return from_logits


def _kind_of_loss(loss: Any, units: int) -> type[Output] | None:
    """Returns what Keras' own losses are for; nothing is known of others."""
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    name = str(name or getattr(loss, "__name__", ""))
    if name.startswith("sparse_categorical"):
        # Some labels of it are no classes.
        return None if getattr(loss, "ignore_class", None) is not None else Classes
    if name.startswith("categorical"):
        return Classes
    if name.startswith("binary"):
        return Labels if units > 1 else Classes
    return None


def _is_of_numbers(loss: Any) -> bool:
    """Whether a loss is one of Keras' own for numbers, such as the squared error."""
    try:
        return is_mean_loss(find_loss(loss))
    except ValueError:
        return False


def _kind_of_targets(labels: np.ndarray, units: int) -> type[Output]:
    if labels.ndim == 2 and labels.shape[1] > 1:
        if are_zero_or_one(labels):
            return Classes if np.all(labels.sum(axis=1) == 1) else Labels
        sums = np.all(labels >= 0) and np.allclose(labels.sum(axis=1), 1.0)
        return Classes if sums else Numbers
    is_whole = np.all(labels >= 0) and np.all(labels == np.round(labels))
    return Classes if is_whole and units > 1 else Numbers
