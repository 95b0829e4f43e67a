"""Arrays that come in parts: training, validation and test data of their own."""

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tlkeras._validation import as_list
from tlkeras.data.splitting import PARTS, parts_of, words_of_part

# What names of arrays in a file call the classes, of all parts.
_NAMES = ("class_names", "label_names", "target_names")

# What names of arrays in a file call labels and inputs, beside the part.
_LABELS = {"y", "label", "labels", "target", "targets", "class", "classes"}
_INPUTS = {"x", "input", "inputs", "text", "texts", "feature", "features", "pixels"}

_FORMS = (
    "Data with parts of their own are a dictionary, {'train': (x, y), 'test': (x, y)}, "
    "or arrays by the names x_train, y_train, x_test and so on, as np.load gives them."
)


def arrays_by_part(x: Any, y: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the inputs and the labels of each part, train first.

    Args:
        x: Inputs, inputs by part, or where `y` is `None` both: pairs by part, arrays
            by names such as `x_train`, or two or three pairs in the order of parts.
        y: Labels, labels by part, or `None`.

    Returns:
        Two dictionaries with the same parts; with `"train"` alone where none is named.

    Raises:
        ValueError: If parts do not fit together, or labels are missing.
    """
    if _are_arrays(x) and _are_arrays(y):
        raise ValueError(
            "`x` and `y` are pairs of arrays both. Received: from_arrays((x, y), "
            f"(x, y)). {_FORMS} Keras' `load_data()` returns one tuple of both pairs: "
            "from_arrays(((x, y), (x, y)))."
        )
    if isinstance(x, str | os.PathLike):
        raise ValueError(
            f"`x` must be arrays. Received: the path {str(x)!r}. Read the file first: "
            f"from_arrays(np.load({str(x)!r})) where it is an .npz. {_FORMS}"
        )
    if isinstance(x, Mapping):
        xs, ys = _of_names(x) if y is None else (_named("x", x), _named("y", y))
    elif y is None:
        xs, ys = _of_pairs(x)
    else:
        return {"train": x}, {"train": y}
    if xs.keys() != ys.keys() or "train" not in xs:
        raise ValueError(
            "Each part needs inputs and labels, and 'train' must be there. Received "
            f"inputs of {sorted(xs)}, labels of {sorted(ys)}."
        )
    parts = [part for part in PARTS if part in xs]
    return {p: xs[p] for p in parts}, {p: ys[p] for p in parts}


def names_beside(x: Any, given: Any) -> tuple[Any, Any]:
    """Returns data by part without the classes' names among them, and these names.

    Args:
        x: As in `arrays_by_part`.
        given: The names that the user gave, or `None`.

    Raises:
        ValueError: If both are there, and differ.
    """
    found = [name for name in _NAMES if isinstance(x, Mapping) and name in x]
    if not found:
        return x, given
    names = x[found[0]]
    if not isinstance(names, Mapping):
        names = as_list(found[0], names)
    mine = given if given is None or isinstance(given, Mapping) else [*given]
    if mine is not None and mine != names:
        raise ValueError(
            f"The data have names of classes of their own, {found[0]!r}: {names}. "
            f"Received: class_names={mine}. Leave one of them out."
        )
    return {key: x[key] for key in x if key not in found}, names


def _named(argument: str, arrays: Any) -> dict[str, Any]:
    """Returns arrays by part, of a dictionary whose keys all name one."""
    parts = parts_of(arrays) if isinstance(arrays, Mapping) else {}
    if not parts or len(parts) < len(arrays):
        received = list(arrays) if isinstance(arrays, Mapping) else type(arrays)
        raise ValueError(
            f"`{argument}` must be a dictionary by part, {list(PARTS)}, as the other "
            f"of `x` and `y` is. Received: {received}. {_FORMS}"
        )
    return _without_twice((part, arrays[name]) for name, part in parts.items())


def _of_pairs(pairs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns inputs and labels of pairs, as Keras' data sets come."""
    are_pairs = isinstance(pairs, tuple | list) and len(pairs) in (2, 3)
    if not are_pairs or not all(map(_is_pair, pairs)):
        raise ValueError(f"`y`, the labels, is missing. {_FORMS}")
    parts = PARTS if len(pairs) == 3 else ("train", "test")
    return _of_pairs_by_part(dict(zip(parts, pairs, strict=True)))


def _of_pairs_by_part(pairs: Mapping[str, Any]) -> tuple[dict, dict]:
    return (
        {part: x for part, (x, _) in pairs.items()},
        {part: y for part, (_, y) in pairs.items()},
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _are_arrays(value: Any) -> bool:
    """Tells whether a value is a tuple of inputs and as many labels."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    is_plain = any(isinstance(x, str | bytes | Mapping) for x in value)
    several = all(hasattr(x, "__len__") for x in value) and not is_plain
    return several and len(value[0]) == len(value[1])


def _of_names(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns inputs and labels of pairs by part, or of arrays by name."""
    if all(isinstance(each, Mapping) for each in arrays.values()):
        # {"train": {"x": ..., "y": ...}}
        arrays = {
            f"{part}_{name}": array
            for part, each in arrays.items()
            for name, array in each.items()
        }
    parts = parts_of(arrays)
    if len(parts) == len(arrays) and all(map(_is_pair, arrays.values())):
        pairs = _without_twice((part, arrays[name]) for name, part in parts.items())
        return _of_pairs_by_part(pairs)
    if parts and not any(words_of_part(str(name))[1] for name in arrays):
        name, value = next((n, v) for n, v in arrays.items() if not _is_pair(v))
        shape = getattr(value, "shape", None)
        raise ValueError(
            f"Without `y` each part is a pair (x, y). Received for {name!r}: "
            f"{type(value).__name__}{'' if shape is None else f' of shape {shape}'}. "
            f"{_FORMS}"
        )
    found: list[tuple[tuple[str, bool], Any]] = []
    for name, array in arrays.items():
        # "xtrain" is written as well.
        spaced = re.sub(r"(?i)^([xy])(?=train|val|test)", r"\1 ", str(name))
        part, beside = words_of_part(spaced)
        beside = set(beside)
        is_known = beside <= _LABELS or beside <= _INPUTS
        if not is_known or (part is None and not beside):
            raise ValueError(
                f"What is the array {name!r}? Received arrays named {list(arrays)}. "
                f"{_FORMS}"
            )
        part = {None: "train", "either": "test"}.get(part, part)
        found.append(((part, bool(beside & _LABELS)), array))
    both = _without_twice(found)
    return (
        {part: array for (part, is_y), array in both.items() if not is_y},
        {part: array for (part, is_y), array in both.items() if is_y},
    )


def _without_twice(pairs: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            part = key if isinstance(key, str) else key[0]
            raise ValueError(f"Several arrays are for the part {part!r}. {_FORMS}")
        found[key] = value
    return found


def joined(labels: list[Any]) -> Any:
    """Returns labels of several parts one behind the other, also by head."""
    if len(labels) == 1:
        return labels[0]
    if any(isinstance(y, Mapping) for y in labels):
        heads = labels[0] if isinstance(labels[0], Mapping) else {}
        if any(not isinstance(y, Mapping) or y.keys() != heads.keys() for y in labels):
            raise ValueError("`y` must name the same heads in all parts.")
        return {head: joined([y[head] for y in labels]) for head in heads}
    if all(isinstance(y, np.ndarray) for y in labels):
        return np.concatenate(labels)
    return [label for y in labels for label in as_list("y", y)]


def count_of(labels: Any) -> int:
    """Returns how many labels there are, also by head."""
    first = next(iter(labels.values()), ()) if isinstance(labels, Mapping) else labels
    return len(first)
