"""Argument checks, did-you-mean and optional imports: what every layer may use."""

import difflib
import importlib
import io
import itertools
import numbers
import os
from collections.abc import (
    Collection,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from decimal import Decimal
from types import ModuleType
from typing import Any

# How many characters or bytes of a value a message shows.
_SHOWN = 40


def did_you_mean(name: str, valid: Iterable[str], limit: int = 3) -> str:
    """Returns `" Did you mean 'x' or 'y'?"`, or `""` where nothing is near."""
    by_lower = {str(v).lower(): str(v) for v in valid}
    near = difflib.get_close_matches(str(name).lower(), by_lower, limit, cutoff=0.6)
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(by_lower[n]) for n in near)}?"


def unknown_name(kind: str, name: Any, valid: Collection[str]) -> ValueError:
    """Makes the error for a name that is not among `valid`.

    Args:
        kind: What the name stands for, in the singular (`"backbone"`).
        name: What came.
        valid: Every name that would have done.

    Returns:
        A `ValueError` to raise: it echoes `name`, suggests near names, and lists
        `valid` where that fits on a few lines.
    """
    shown = sorted(map(str, valid))
    listing = ", ".join(shown[:40]) + (", ..." if len(shown) > 40 else "")
    return ValueError(
        f"No such {kind}: {name!r}.{did_you_mean(name, shown)} "
        f"Valid {_several(kind)} ({len(shown)}): {listing}."
    )


def _several(kind: str) -> str:
    """Returns the plural of the first noun of "class name" or "part of the data"."""
    noun, of, rest = kind.partition(" of ")
    noun, with_, more = noun.partition(" with ")
    ending = "es" if noun.endswith(("s", "x", "ch")) else "s"
    return f"{noun}{ending}{with_}{more}{of}{rest}"


def check_choice(argument: str, value: Any, choices: Collection[Any]) -> Any:
    """Returns `value` if it is one of `choices`, raises `ValueError` otherwise."""
    if value in choices:
        return value
    raise ValueError(
        f"`{argument}` must be one of {', '.join(map(repr, choices))}. "
        f"Received: {argument}={value!r}."
        + (did_you_mean(value, map(str, choices)) if isinstance(value, str) else "")
    )


def check_int(argument: str, value: Any, minimum: int) -> int:
    """Returns `value` as an `int` of at least `minimum`, or raises `ValueError`."""
    is_whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if is_whole and int(value) >= minimum:
        return int(value)
    raise ValueError(
        f"`{argument}` must be a whole number of at least {minimum}. "
        f"Received: {argument}={value!r}."
    )


def check_number(
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
) -> float:
    """Returns `value` as a `float` within the given bounds, or raises `ValueError`.

    Args:
        argument: The argument's name, for the message.
        value: What came.
        above: Exclusive lower bound.
        minimum: Inclusive lower bound.
        below: Exclusive upper bound.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    fits = (
        number == number
        and (above is None or number > above)
        and (minimum is None or number >= minimum)
        and (below is None or number < below)
    )
    if fits and not isinstance(value, bool):
        return number
    bounds = [
        f"{word} {bound}"
        for word, bound in (
            ("above", above),
            ("at least", minimum),
            ("below", below),
        )
        if bound is not None
    ]
    raise ValueError(
        f"`{argument}` must be {' '.join(['a number', ' and '.join(bounds)]).strip()}. "
        f"Received: {argument}={value!r}."
    )


def check_path(argument: str, value: Any) -> str:
    """Returns a path as a string, its `~` expanded, or raises `ValueError`."""
    if isinstance(value, str | bytes | os.PathLike):
        return os.path.expanduser(os.fsdecode(value))
    raise ValueError(
        f"`{argument}` must be one path, a string or a `pathlib.Path`. Received: "
        f"{argument}={shown(value)}."
    )


def shown(value: Any) -> str:
    """Returns the `repr` of what came, for a message: cut where that is long."""
    if isinstance(value, str | bytes) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]!r}... ({type(value).__name__} of {len(value):,})"
    text = repr(value)
    short = text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}..."
    return " ".join(short.split("\n"))


def in_order(argument: str, values: Any) -> Any:
    """Returns values whose order counts; of an iterator a list, others as they are.

    Args:
        argument: The argument's name, for the message.
        values: What came.

    Raises:
        ValueError: If it is a set, whose order is another in each process; a file; or
            an iterator that seems to have no end.
    """
    if isinstance(values, io.IOBase):
        raise ValueError(
            f"`{argument}` is an open file. Pass its path, or what it holds, read. "
            f"Received: {argument}={values!r}."
        )
    if isinstance(values, set | frozenset):
        raise ValueError(
            f"`{argument}` is a set, which has no order. Pass a list, such as "
            f"`sorted({argument})`. Received: {few(sorted(map(str, values)))}."
        )
    if not isinstance(values, _ITERATORS):
        return values
    listed = list(itertools.islice(values, _MOST_VALUES + 1))
    if len(listed) > _MOST_VALUES:
        raise ValueError(
            f"`{argument}` is an iterator that gave more than {_MOST_VALUES:,} values. "
            f"Has it an end? Pass a list, or the first n, `itertools.islice({argument},"
            f" n)`. Received: {type(values).__name__}."
        )
    return listed


# Of a dictionary's keys and values the order is known.
_ITERATORS = Iterator, KeysView, ValuesView

# Of an iterator; one without an end would fill the memory.
_MOST_VALUES = 1_000_000


def as_list(argument: str, values: Any) -> list[Any]:
    """Returns several values as a list, in their order, with Python's own types.

    Args:
        argument: The argument's name, for the message.
        values: A list, a tuple, an iterator, an array, a tensor, or a Series or Index
            of pandas.

    Raises:
        ValueError: If it is something else, such as one value, or a set.
    """
    values = in_order(argument, values)
    if hasattr(values, "numpy"):
        values = values.numpy()
    values = values.tolist() if hasattr(values, "tolist") else values
    is_one = isinstance(values, str | bytes | Mapping) or not hasattr(
        values, "__iter__"
    )
    if not is_one:
        return list(values)
    raise ValueError(f"`{argument}` must be a list. Received: {argument}={values!r}.")


def is_missing(cell: Any) -> bool:
    """Tells whether a cell is `None`, NaN, or what pandas has for these."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, numbers.Real | Decimal) and cell != cell


def is_blank(cell: Any) -> bool:
    """Tells whether a cell is missing, or holds nothing but spaces."""
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip())


def few(names: Sequence[str]) -> str:
    """Returns the first five names, quoted, and dots where there are more."""
    return f"{', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}"


class UnsupportedError(ValueError):
    """A verb was asked for something that a kind of input or output does not offer.

    Args:
        verb: What was asked for: `"tl.explain"`.
        asked: Of what, in the plural: `"sounds"`.
        offered: What offers it, in the plural; may be empty.
    """

    def __init__(self, verb: str, asked: str, offered: Iterable[str] = ()):
        known = ", ".join(offered)
        super().__init__(
            f"`{verb}` is not offered for {asked}. "
            + (f"It is offered for: {known}." if known else "Nothing offers it yet.")
        )


def optional_import(module: str, purpose: str, install: str) -> ModuleType:
    """Imports `module`, or raises an `ImportError` that says how to install it.

    Args:
        module: Dotted name, as in an `import` statement.
        purpose: What needs it, as the subject of a sentence (`"from_tfds"`).
        install: What to hand to `pip install`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package `{module}`, which could not be imported "
            f"({error}). Install it with `pip install {install}`."
        ) from error
