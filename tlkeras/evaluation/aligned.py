"""Values that go with the examples: what `slices` and `groups` of `evaluate` mean."""

import inspect
import numbers
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.evaluation.collecting import Observer
from tlkeras.evaluation.examples import as_arrays, file_names
from tlkeras.inputs.examples import Reading
from tlkeras.metrics.slices import MISSING

_FOLDERS = ("folder", "subfolder")


class Aligned:
    """Values of `slices` and `groups`, some known at once, some seen in the pass.

    Args:
        slices: As in `evaluate`.
        groups: As in `evaluate`.
        reading: How the data is read, where that is known.
    """

    def __init__(self, slices: Any, groups: Any, reading: Reading | None):
        if _are_columns(slices, reading):
            slices = {name: name for name in slices}
        wanted = {("slices", name): value for name, value in named(slices).items()}
        if groups is not None:
            wanted["groups", "groups"] = groups
        self._known, self._functions = {}, {}
        for key, value in wanted.items():
            if isinstance(value, str):
                self._known[key] = _by_name(value, key[0], reading)
            elif callable(value):
                _check_takes_batches(value, key[0])
                self._functions[key] = value
            else:
                self._known[key] = value

    @property
    def observers(self) -> list[Observer]:
        """The functions, as `collect` calls them."""
        return [_observer(function) for function in self._functions.values()]

    def values(self, seen: list[np.ndarray]) -> tuple[dict[str, Any], Any]:
        """Returns slices by name and groups, from what the observers saw."""
        seen_by_key = dict(zip(self._functions, seen, strict=True))
        found = {**self._known, **seen_by_key}
        slices = {name: v for (kind, name), v in found.items() if kind == "slices"}
        return slices, found.get(("groups", "groups"))


def _check_takes_batches(function: Any, argument: str) -> None:
    """Raises `ValueError` for a function that cannot be called with `(x, y)`."""
    try:
        parameters = inspect.signature(function)
    except (TypeError, ValueError):
        # Of some functions in C nothing tells.
        return
    try:
        parameters.bind(None, None)
    except TypeError as error:
        raise ValueError(
            f"A function in `{argument}` takes a batch, its inputs and its labels: "
            f"`lambda x, y: ...`. Received: one with the parameters {parameters}."
        ) from error


def named(slices: Any) -> dict[str, Any]:
    """Returns slices by name; a single one is called by what it is."""
    if slices is None:
        return {}
    if isinstance(slices, str):
        return {slices: slices}
    if isinstance(slices, Mapping) or hasattr(slices, "columns"):
        return {str(name): slices[name] for name in slices.keys()}
    return {
        getattr(slices, "__name__", None) or getattr(slices, "name", "slice"): slices
    }


def check_values(argument: str, values: Any, examples: int) -> np.ndarray:
    """Returns one value per example as an array of `str` or numbers, NaN if missing.

    Those of NumPy's dates and durations keep their type, NaT where missing.

    Args:
        argument: What the values are, for the message.
        values: Array-like of shape `(examples,)`.
        examples: The number of examples.

    Raises:
        ValueError: If there is not one value per example.
    """
    if isinstance(values, np.ma.MaskedArray):
        gone = np.ma.getmaskarray(values)
        values = np.where(gone, None, values.data.astype(object))
    array = np.asarray(values)
    if array.shape != (examples,):
        raise ValueError(
            f"{argument} must hold one value per example, in the order of the data: "
            f"shape ({examples},). Received shape {array.shape}."
        )
    if array.dtype.kind in "biufmM":
        return array
    listed = array.tolist()
    missing = [_is_missing(value) for value in listed]
    known = [v for v, gone in zip(listed, missing, strict=True) if not gone]
    if known and all(map(_is_number, known)):
        # A column of numbers with gaps is one of objects.
        pairs = zip(listed, missing, strict=True)
        return np.array([np.nan if gone else float(value) for value, gone in pairs])
    return np.array(
        [
            MISSING if gone else _decoded(value)
            for value, gone in zip(listed, missing, strict=True)
        ]
    )


def _is_missing(value: Any) -> bool:
    """Whether a value stands for none: `None`, NaN, what pandas has, and blank text."""
    if value is None or (isinstance(value, str | bytes) and not value.strip()):
        return True
    try:
        return bool(value != value)
    except TypeError:
        # pandas.NA is neither.
        return True


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def _decoded(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _observer(function: Any) -> Observer:
    def observe(x: Any, y: np.ndarray) -> np.ndarray:
        values = np.asarray(function(as_arrays(x), y))
        if values.shape != (len(y),):
            raise ValueError(
                "A function in `slices` or `groups` takes a batch (x, y) and returns "
                f"one value per example. Received values of shape {values.shape} for "
                f"a batch of {len(y)}."
            )
        return values

    return observe


def _are_columns(slices: Any, reading: Reading | None) -> bool:
    """Whether slices are names of columns, not a value for each example."""
    if not isinstance(slices, list | tuple) or reading is None or not slices:
        return False
    columns = {*reading.problem.input.column_names}
    if not columns or not all(isinstance(each, str) for each in slices):
        return False
    # Names that no column has are told of; values of examples repeat.
    is_named = len(set(slices)) == len(slices) != len(reading.examples)
    return is_named or set(slices) <= columns


def _by_name(name: str, argument: str, reading: Reading | None) -> Any:
    """Returns a value for each example: that of its column, or its folder."""
    columns = () if reading is None else reading.problem.input.column_names
    if name in columns:
        return reading.problem.input.column_values(reading.examples, name)
    if columns:
        error = unknown_name("column of the model", name, columns)
        raise ValueError(
            f"{error} Of others pass the values, `{argument}=frame[{name!r}]`."
        )
    if name not in _FOLDERS:
        raise unknown_name(f"way to name `{argument}`", name, _FOLDERS)
    return _folders(name, argument, reading)


def _folders(kind: str, argument: str, reading: Reading | None) -> np.ndarray:
    """Returns for each image file its folder, or the last part of that."""
    names = file_names(reading)
    if names is None:
        raise ValueError(
            f"`{argument}={kind!r}` needs a part of image files, such as `.test` of "
            "`tl.image_folder`. Pass an array with one value per example."
        )
    folders = [os.path.dirname(name).replace(os.sep, "/") for name in names]
    if kind == "subfolder":
        return np.array([folder.rpartition("/")[2] for folder in folders])
    first = {folder.partition("/")[0] for folder in folders}
    if len(first) == 1 and all("/" in folder for folder in folders):
        # All lie in `test/`, or the like, which tells nothing.
        folders = [folder.partition("/")[2] for folder in folders]
    return np.array(folders)
