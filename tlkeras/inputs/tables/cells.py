"""Cells of tables: numbers, names and dates, as files and frames have them."""

import datetime
import math
import numbers
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tlkeras._validation import is_blank, shown
from tlkeras.inputs.texts.reading import text_problem

# What stands for no number in files; empty cells do everywhere.
_NO_NUMBER = {"na", "n/a", "nan", "null", "none", "-", "?"}

# A date as numbers: its place in time, in the year, in the week and in the day.
DATE_PARTS = (
    "years",
    "year sine",
    "year cosine",
    "week sine",
    "week cosine",
    "day sine",
    "day cosine",
)

_DAY = 86_400
_YEAR = 365.2425 * _DAY
# 1970 began on a Thursday.
_FIRST_WEEKDAY = 3

# Texts of which so many differ, in so large a share of the rows, name rows.
_MANY, _MOST_DISTINCT = 20, 0.5
# From so many words on, of the middle one, they are sentences, not names or ids.
_SENTENCE = 3
# Of a column of numbers or dates, the share of cells that may be mistakes.
_MOST_ODD = 0.1


def as_number(cell: Any) -> float | None:
    """Returns a cell as a number, NaN where it is missing, `None` where it is none."""
    if is_blank(cell):
        return math.nan
    if isinstance(cell, bool | np.bool_ | numbers.Real | Decimal):
        return float(cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    if text.lower() in _NO_NUMBER:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None


def kind_problem(kind: str, cell: Any) -> str | None:
    """Returns why a cell is not of a kind, as half a sentence; `None` where it is."""
    if kind == "text" and isinstance(cell, str):
        return None if is_blank(cell) else text_problem(cell)
    if kind not in ("number", "date"):
        return None
    number = as_number(cell) if kind == "number" else as_seconds(cell)
    if number is not None and not math.isinf(number):
        return None
    like = "3.5" if kind == "number" else "2024-05-31"
    return f"has {shown(cell)}, which is no {kind} such as {like!r},"


def as_category(cell: Any) -> str | None:
    """Returns a cell as a name, the same of 1, 1.0 and "1"; `None`: it is missing."""
    if is_blank(cell):
        return None
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace").strip()
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell))
    if isinstance(cell, numbers.Real) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def as_seconds(cell: Any) -> float | None:
    """Returns a date as seconds since 1970, as `as_number` does; UTC by default."""
    if is_blank(cell):
        return math.nan
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, str):
        try:
            cell = datetime.datetime.fromisoformat(cell.strip())
        except ValueError:
            return None
    if isinstance(cell, datetime.datetime):
        if cell.tzinfo is None:
            cell = cell.replace(tzinfo=datetime.UTC)
        return cell.timestamp()
    if isinstance(cell, datetime.date):
        days = cell.toordinal() - datetime.date(1970, 1, 1).toordinal()
        return float(days * _DAY)
    return None


def date_parts(seconds: Any, sine: Any = np.sin, floor: Any = np.floor) -> dict:
    """Returns the parts of dates by name.

    Args:
        seconds: Since 1970, float64, an array or a tensor.
        sine: The function, of NumPy or of TensorFlow.
        floor: The same.
    """
    parts = {"years": seconds / _YEAR}
    for name, length, first in (
        ("year", _YEAR, 0.0),
        ("week", 7 * _DAY, _FIRST_WEEKDAY * _DAY),
        ("day", _DAY, 0.0),
    ):
        # Of the week the day counts, not the time.
        place = seconds if name != "week" else floor(seconds / _DAY) * _DAY
        turns = (place + first) / length
        angle = 2 * math.pi * (turns - floor(turns))
        parts[f"{name} sine"] = sine(angle)
        parts[f"{name} cosine"] = sine(angle + math.pi / 2)
    return parts


def kind_of_cells(
    cells: Sequence[Any], is_parsed: bool, reads_texts: bool = False
) -> tuple[str, str | None]:
    """Returns what a column looks like, and why it cannot be learnt from, if so.

    Args:
        cells: Its cells.
        is_parsed: Whether they have types. Otherwise all are strings.
        reads_texts: Whether sentences can be read.
    """
    known = [cell for cell in cells if not is_blank(cell)]
    if not known:
        return "number", "is empty"
    kind = _kind(known, is_parsed)
    distinct = len(set(map(as_category, known)))
    if distinct == 1:
        return kind, "has the same value everywhere"
    if kind == "category" and distinct > max(_MANY, _MOST_DISTINCT * len(known)):
        meant, odd = nearly_all(known)
        if odd:
            but = f"{len(odd)} cell{'s' * (len(odd) > 1)}, such as {odd[0]!r}"
            return meant, f"holds {meant}s but for {but}"
        words = np.median([len(str(cell).split()) for cell in known])
        if words >= _SENTENCE and reads_texts:
            return "text", None
        hint = ", which `text_backbone=` would read" if words >= _SENTENCE else ""
        return kind, f"has {distinct:,} different texts in {len(known):,} rows{hint}"
    return kind, None


def nearly_all(cells: Sequence[Any]) -> tuple[str, list[Any]]:
    """Returns what nine in ten cells are, numbers or dates, and the others.

    Args:
        cells: Cells, of which blank ones do not count.

    Returns:
        `"number"` or `"date"`, and the cells that are none; no cells where too many
        are, or none is.
    """
    known = [cell for cell in cells if not is_blank(cell)]
    for kind, read in (("number", as_number), ("date", as_seconds)):
        odd = [cell for cell in known if read(cell) is None]
        if len(odd) <= _MOST_ODD * len(known):
            return kind, odd
    return "number", []


def _kind(known: Sequence[Any], is_parsed: bool) -> str:
    if is_parsed and all(isinstance(cell, bool | np.bool_) for cell in known):
        return "category"
    if all(as_number(cell) is not None for cell in known):
        return "number"
    if all(as_seconds(cell) is not None for cell in known):
        return "date"
    return "category"
