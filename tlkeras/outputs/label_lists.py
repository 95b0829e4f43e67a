"""Lists of names as labels: `["red", "round"]` for each example."""

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

import numpy as np

from tlkeras._validation import did_you_mean, few, is_blank, shown

# A list, set or dictionary as Python, NumPy or JSON writes it into a text file.
_SPELLED = re.compile(r"\s*[\[({].*[\])}]\s*", re.DOTALL)
# One with its type: "frozenset({'a'})", "array(['a'], dtype=object)".
_TYPED = re.compile(
    r"\s*(?:(?:frozen)?set|list|tuple|(?:np\.)?array)"
    r"\((.*?)(?:,\s*dtype=[^()]*)?\)\s*",
    re.DOTALL,
)
# What stands between what it lists, or around it; of numbers NumPy's blanks.
_LISTS = re.compile(
    r"""\[.*[,'"].*\]|\[[\s\d.eE+-]*\d[\s\d.eE+-]*\]|\{.*:.*\}""", re.DOTALL
)


def listed(cell: Any) -> list[Any] | None:
    """Returns what a cell lists, `None` where it is one label or none.

    Args:
        cell: Anything. Of strings those that spell a list list something:
            `"['red', 'round']"`; `None` where it is no list that can be read.
    """
    if isinstance(cell, str):
        return _spelled(cell)
    cell = cell.numpy() if hasattr(cell, "numpy") else cell
    if isinstance(cell, bytes | np.generic) or getattr(cell, "shape", None) == ():
        return None
    if isinstance(cell, Set):
        return sorted(cell, key=str)
    if isinstance(cell, Mapping):
        # Not a list, but no name either.
        return [cell]
    values = cell.tolist() if hasattr(cell, "tolist") else cell
    return list(values) if isinstance(values, Iterable) else None


def _spelled(cell: str) -> list[Any] | None:
    typed = _TYPED.fullmatch(cell)
    text = (typed.group(1) if typed else cell).strip()
    if typed and not text:
        return []
    if not _SPELLED.fullmatch(text):
        return None
    # NumPy writes no commas.
    with_commas = re.sub(r"""(['"])\s+(?=['"])""", r"\1, ", text)
    try:
        found = ast.literal_eval(with_commas)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [None] if typed or _LISTS.fullmatch(text) else None
    if isinstance(found, Set):
        return sorted(found, key=str)
    if isinstance(found, Mapping):
        return [found]
    return list(found) if isinstance(found, list | tuple) else None


def are_named(cells: Sequence[Any], names: Collection[str] | None) -> bool:
    """Whether all cells are names that the user gave, whatever they spell."""
    return bool(names) and all(isinstance(c, str) and c in names for c in cells)


def names_in(cell: Any) -> list[Any]:
    """Returns the labels of one example: those that it lists, or the one that it is."""
    found = listed(cell)
    return [cell] if found is None else found


def list_problem(cell: Any, known: Collection[str] | None, source: str) -> str | None:
    """Returns why the labels of one example cannot be used, as half a sentence.

    Args:
        cell: The labels.
        known: The names that there are; `None` for any.
        source: Where these are from, for the message.
    """
    for name in names_in(cell):
        if not isinstance(name, str) or is_blank(name):
            return f"has {shown(cell)}, where each label must be a name"
        if known is not None and name not in known:
            return (
                f"has the label {name!r}, which is not among {source}."
                f"{did_you_mean(name, known)}".rstrip(".")
            )
    return None


def rows_of_lists(cells: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """Returns a row of 0 and 1 for each example, a 1 for each of its labels.

    Args:
        cells: Labels without a `list_problem`.
        names: The columns' names.
    """
    column = {name: i for i, name in enumerate(names)}
    rows = np.zeros((len(cells), len(names)), np.float32)
    for row, cell in zip(rows, cells, strict=True):
        row[[column[name] for name in names_in(cell)]] = 1
    return rows


def sorted_names(cells: Sequence[Any]) -> tuple[str, ...]:
    """Returns all names that labels without a `list_problem` hold, sorted."""
    return tuple(sorted({name for cell in cells for name in names_in(cell)}))


def lists_as_rows(
    y: Any, names: tuple[str, ...] | None
) -> tuple[Any, tuple[str, ...] | None]:
    """Returns labels that are lists of names as rows of 0 and 1, others as they are.

    Args:
        y: Labels, one for each example. Where they are lists, a row is NaN where one is
            missing.
        names: The names of all labels, where the user gave them.

    Returns:
        Also the names, where `y` tells them.

    Raises:
        ValueError: If a list holds something else than names.
    """
    cells = _cells(y)
    if are_named(cells, names) or not any(map(_lists_names, cells)):
        return y, names
    known = np.array([not is_blank(cell) for cell in cells], bool)
    for i in np.flatnonzero(known):
        why = list_problem(cells[i], names, "`class_names`")
        if why:
            raise ValueError(f"`y` {why}, at index {i}.")
    given = [cell for cell, is_known in zip(cells, known, strict=True) if is_known]
    names = names or sorted_names(given)
    if len(names) < 2:
        raise ValueError(
            "`y` lists labels, but fewer than two different ones: "
            f"{few(names)}. Name them all by `class_names`."
        )
    rows = np.full((len(cells), len(names)), np.nan, np.float32)
    rows[known] = rows_of_lists(given, names)
    return rows, names


def labels_given(y: Any, about: str) -> Any:
    """Returns labels that a verb was given, those of frames and objects as arrays.

    Args:
        y: Labels, also by head.
        about: What the data are called.

    Raises:
        ValueError: If they are lists of names, which no batch can hold, or no numbers.
    """
    if isinstance(y, Mapping):
        return {head: labels_given(labels, about) for head, labels in y.items()}
    y = y.toarray() if hasattr(y, "toarray") else y
    y = y.to_numpy() if hasattr(y, "columns") else y
    _refuse_lists(y, about)
    array = np.asarray(y) if hasattr(y, "tolist") else None
    if array is None or array.dtype.kind not in "OUSTMmc":
        return y
    if array.dtype.kind == "O":
        with suppress(ValueError):
            array = np.array(array.tolist())
    if array.dtype.kind not in "biuf":
        raise no_numbers(array, f"Labels in `{about}`")
    return array


def no_numbers(labels: np.ndarray, about: str) -> ValueError:
    """Makes the error for labels of some other type.

    Args:
        labels: Of any dtype.
        about: What they are called.
    """
    such = f", such as {labels.ravel()[0]!r}" if labels.size else ""
    return ValueError(
        f"{about} must be numbers. Received: dtype {labels.dtype}{such}. "
        "`tl.from_arrays(x, y)` reads names of classes (with "
        "class_names=model.class_names in the order of a model), and its parts "
        "(`.train`, `.val`, `.test`) go into every verb."
    )


def _refuse_lists(y: Any, about: str) -> None:
    """Raises `ValueError` where labels are lists of names."""
    several = getattr(y, "ndim", 1) > 1 and getattr(y.dtype, "kind", "f") in "OU"
    cells = y.tolist() if several else _cells(y)
    lists = [cell for cell in cells if _lists_names(cell)]
    if lists:
        raise ValueError(
            f"Labels in `{about}` are lists of names. Several labels of an example are "
            "a row of 0 and 1, a column for each name, in an array of shape (n, "
            "labels): `tl.from_arrays(x, y)` makes such of lists, and its parts "
            "(`.train`, `.val`, `.test`) go into every verb. Received: labels such as "
            f"{lists[0]!r}."
        )


def _lists_names(cell: Any) -> bool:
    found = listed(cell)
    if isinstance(cell, str):
        return bool(found)
    return found is not None and any(isinstance(x, str | Mapping) for x in found)


def _cells(y: Any) -> list[Any]:
    """Returns what may be lists, one for each example; of arrays of numbers nothing."""
    if isinstance(y, list | tuple):
        return list(y)
    is_column = getattr(y, "ndim", None) == 1 and hasattr(y, "tolist")
    return y.tolist() if is_column and getattr(y.dtype, "kind", "O") in "OU" else []
