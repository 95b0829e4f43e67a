"""Argument checks, did-you-mean and optional imports: what every layer may use."""

import difflib
import importlib
import numbers
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from types import ModuleType
from typing import Any


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
        f"`{argument}` must be a number {' and '.join(bounds)}. "
        f"Received: {argument}={value!r}."
    )


def is_missing(cell: Any) -> bool:
    """Tells whether a cell is `None`, NaN, or what pandas has for these."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, numbers.Real | Decimal) and cell != cell


def is_blank(cell: Any) -> bool:
    """Tells whether a cell is missing, or holds nothing but spaces."""
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip())


def check_same_classes(
    argument: str, names: Sequence[str] | None, known: Sequence[str] | None
) -> None:
    """Raises `ValueError` where data's classes cannot be those of a model.

    Names may differ, as where a model was built with a number of classes; their count
    and the order of the same names may not.

    Args:
        argument: The data's name, for the message.
        names: The data's classes; `None` where they are not known.
        known: The model's classes; `None` where they are not known.
    """
    if names is None or known is None:
        return
    same = set(names) == set(known)
    if len(names) == len(known) and (tuple(names) == tuple(known) or not same):
        return
    problem = "in another order" if same else f"{len(known)} in number"
    raise ValueError(
        f"`{argument}` has {len(names)} classes, {few(names)}; those of the model are "
        f"{problem}: {few(known)}. Build the model with `data.class_names`, or read "
        "the data with `class_names=model.class_names`."
    )


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
