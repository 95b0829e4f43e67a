"""One column of labels: what its cells say, the same from arrays, frames and files."""

import math
import numbers
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from warnings import warn

import numpy as np

from tlkeras._validation import few

BOOLEANS = ("False", "True")

# Names of classes that booleans stand for.
_TRUTH = {
    **dict.fromkeys(("true", "yes", "t", "y", "1"), True),
    **dict.fromkeys(("false", "no", "f", "n", "0"), False),
}

# What a number looks like in a text. "nan" and "inf" are no labels.
_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Numbers do not begin with zeros: "007" is a name.
_PADDED = re.compile(r"[+-]?0\d+")
_IN_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")


def number_of(cell: Any) -> int | float | None:
    """Returns the finite number that a cell with a type is; whole ones as `int`."""
    is_number = isinstance(cell, numbers.Real | np.bool_ | Decimal)
    if not is_number or not math.isfinite(cell):
        return None
    return int(cell) if int(cell) == cell else float(cell)


def number_in(cell: Any) -> int | float | None:
    """Returns the number that a cell is, or that is written in it; of "true" 1."""
    if not isinstance(cell, str):
        return number_of(cell)
    text = cell.strip()
    if text.capitalize() in BOOLEANS:
        return BOOLEANS.index(text.capitalize())
    if _WHOLE.fullmatch(text):
        return int(text)
    return number_of(float(text)) if _NUMBER.fullmatch(text) else None


def is_boolean(text: str) -> bool:
    """Whether a text is "true" or "false", in any case."""
    return text.strip().capitalize() in BOOLEANS


def name_of(cell: Any) -> str:
    """Returns the class name that a cell says: "3" for 3 and 3.0, "True" for True."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | np.bool_):
        return BOOLEANS[int(cell)]
    number = number_of(cell)
    return str(cell if number is None else number)


def with_types(cells: Sequence[str]) -> list[Any]:
    """Gives cells of a file without types those that they have in other sources.

    Args:
        cells: All cells of a column that are not blank.

    Returns:
        Booleans where every cell is "true" or "false"; else numbers where a cell is
        one, unless some begin with zeros, which numbers do not.
    """
    if all(cell.strip().capitalize() in BOOLEANS for cell in cells):
        return [bool(number_in(cell)) for cell in cells]
    if any(_PADDED.fullmatch(cell.strip()) for cell in cells):
        return list(cells)
    found = [None if is_boolean(cell) else number_in(cell) for cell in cells]
    pairs = zip(cells, found, strict=True)
    return [cell if number is None else number for cell, number in pairs]


def check_no_numbers(cells: Iterable[str], about: str) -> None:
    """Raises `ValueError` where texts that would name classes are meant as numbers.

    Args:
        cells: The texts.
        about: What holds them, for the message.
    """
    cells = list(cells)
    commas = [cell for cell in cells if _WITH_COMMA.fullmatch(cell.strip())]
    if 2 * len(commas) > len(cells):
        mend = "with a point (`pandas.read_csv(path, decimal=',')` does)"
        if all(_IN_THOUSANDS.fullmatch(cell.strip()) for cell in commas):
            mend = "without it where it parts thousands (`thousands=','` in "
            mend += "`pandas.read_csv` does), else with a point (`decimal=','` does)"
        raise ValueError(
            f"{about} holds numbers with a comma, such as {commas[0]!r}. Write them "
            f"{mend}. If they are names of classes, pass task='classification'."
        )
    fractions = [cell for cell in cells if isinstance(number_in(cell), float)]
    if 2 * len(fractions) > len(cells):
        raise ValueError(
            f"{about} holds numbers as strings, such as {fractions[0]!r}. For "
            "regression pass numbers: `np.asarray(labels, float)`. If they are names "
            "of classes, pass task='classification'."
        )


def order_of(column: Any) -> tuple[str, ...] | None:
    """Returns the names in a pandas column of ordered categories that occur in it.

    Args:
        column: Labels in any form; `None` comes of all but such a column.
    """
    kind = getattr(column, "dtype", None)
    if not getattr(kind, "ordered", False):
        return None
    present = set(column)
    return tuple(name_of(each) for each in kind.categories if each in present)


class ClassLookup:
    """Finds the classes that cells stand for, where the user named the classes.

    A cell stands for a class by its name: as it is written, or else as the number or
    the truth value that both are: 1, "1.0" and "+1" for "1", `True` for "true". Or
    numbers stand for positions.

    Args:
        names: The classes' names.
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self._exact = {name: i for i, name in enumerate(self.names)}
        meant = Counter(map(_meaning, self.names))
        self._meant = {
            _meaning(name): i
            for i, name in enumerate(self.names)
            if meant[_meaning(name)] == 1
        }
        truth = [_TRUTH.get(name.strip().lower()) for name in self.names]
        if sorted(value for value in truth if value is not None) == [False, True]:
            self._meant |= {_meaning(b): truth.index(b) for b in (False, True)}

    def by_name(self, cell: Any) -> int | None:
        """Returns the number of the class that has a cell's name."""
        found = self._exact.get(name_of(cell))
        return self._meant.get(_meaning(cell)) if found is None else found

    def by_position(self, cell: Any) -> int | None:
        """Returns the number of the class whose position a cell is."""
        number = number_in(cell)
        is_place = isinstance(number, int) and 0 <= number < len(self.names)
        return number if is_place else None

    def are_names(self, cells: Iterable[Any]) -> bool:
        """Whether cells are names, not positions.

        Names that are numbers may be both. They are names where all cells are, or
        more of them than are positions.

        Args:
            cells: All that are not missing.

        Raises:
            ValueError: If they are positions that turn truth values round.

        Warns:
            UserWarning: If some could be names, and all are taken for positions.
        """
        counts = Counter(
            cell if isinstance(cell, str | numbers.Number | np.bool_) else name_of(cell)
            for cell in cells
        )
        named = [cell for cell in counts if self.by_name(cell) is not None]
        places = [cell for cell in counts if self.by_position(cell) is not None]
        as_names, as_places = (sum(counts[c] for c in x) for x in (named, places))
        if named and as_names >= as_places:
            return True
        if not as_places:
            are_numbers = [cell for cell in counts if number_in(cell) is not None]
            return 2 * sum(counts[cell] for cell in are_numbers) <= counts.total()
        if [_meaning(name) for name in self.names] == [_meaning(True), _meaning(False)]:
            raise ValueError(
                "By position 0 would be 'True' and 1 'False'. Pass "
                "class_names=['False', 'True'], or labels that are booleans. "
                f"Received: class_names={list(self.names)}."
            )
        if named:
            strange = next(cell for cell in counts if cell not in set(named))
            warn(
                f"Labels are taken for positions in `class_names`, {few(self.names)}: "
                f"as a name {name_of(strange)!r} is not among these. Where names were "
                "meant, mend the labels.",
                stacklevel=2,
            )
        return False


def _meaning(cell: Any) -> Any:
    """Returns what is equal where two cells are written differently and mean the same.

    Booleans are not numbers here: 1 does not stand for the name "True".
    """
    if isinstance(cell, bool | np.bool_) or (
        isinstance(cell, str) and is_boolean(cell)
    ):
        return "boolean", number_in(cell)
    number = number_in(cell)
    return name_of(cell) if number is None else number
