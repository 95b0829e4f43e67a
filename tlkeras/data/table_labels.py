"""What the label columns of a table mean, the same for all of its parts."""

import math
import numbers
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import check_choice, did_you_mean
from tlkeras.data.labels import TASKS, Labels, check_class_names, read_labels

# What a number looks like in a CSV file. "nan" and "inf" are no labels.
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")

Cells = Mapping[str, Sequence[Any]]


class PartLabels(NamedTuple):
    """The labels of each part.

    Attributes:
        values: As in `Labels`, by part; a row with a reason has any value.
        reasons: By part, for each row why it has no label that can be used, or
            `None`.
        class_names: As in `Labels`.
        task: As in `Labels`.
    """

    values: dict[str, np.ndarray]
    reasons: dict[str, list[str | None]]
    class_names: tuple[str, ...] | None
    task: str


def read_part_labels(
    columns: Mapping[str, Sequence[Sequence[Any]]],
    names: Sequence[Hashable],
    is_parsed: bool,
    class_names: Sequence[str] | None,
    task: str | None,
) -> PartLabels:
    """Works out what labels mean, over all parts together.

    One column whose cells are mostly numbers holds class ids, or regression targets
    where any of them is no whole number; else its cells are the classes' names. With
    `class_names`, cells are names where one of them is among these.
    Several columns are one-hot, multi-hot or targets, as in `read_labels`.

    Args:
        columns: For each part, first of all for `"train"`, the cells of each label
            column; none is missing.
        names: The names of the columns in the training part.
        is_parsed: Whether cells have types. Otherwise all are strings.
        class_names: As in `read_labels`.
        task: As in `read_labels`.

    Returns:
        The `PartLabels`.

    Raises:
        ValueError: If labels do not fit together, or not with the other arguments.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    given = None if class_names is None else check_class_names(class_names)
    if len(names) > 1:
        return _from_columns(columns, names, is_parsed, given, task)
    cells = {part: list(only) for part, (only,) in columns.items()}
    parsed = {
        part: [_number(cell, is_parsed) for cell in column]
        for part, column in cells.items()
    }
    kind = _kind(cells, parsed, given, task)
    if kind == "targets":
        return _targets(cells, parsed, given)
    if kind == "names":
        return _from_names(cells, given)
    return _from_ids(cells, parsed, given, names[0])


def _number(cell: Any, is_parsed: bool) -> int | float | None:
    """Returns the finite number that a cell holds; whole ones as `int`."""
    if isinstance(cell, str) and not is_parsed:
        if _WHOLE.fullmatch(cell):
            return int(cell)
        cell = float(cell) if _NUMBER.fullmatch(cell) else None
    if not isinstance(cell, numbers.Real | np.bool_) or not math.isfinite(cell):
        return None
    return int(cell) if int(cell) == cell else float(cell)


def _text(cell: Any) -> str:
    """Returns the class name that a cell holds: `"3"` also for 3 and 3.0."""
    number = None if isinstance(cell, str) else _number(cell, True)
    return str(cell if number is None else number)


def _kind(
    cells: Cells, parsed: Cells, given: tuple[str, ...] | None, task: str | None
) -> str:
    """Returns what one column holds: `"names"`, `"ids"` or `"targets"`."""
    if task == "multi_label":
        raise ValueError(
            "A multi-label task needs one column of 0 and 1 for each label: "
            "label=['a', 'b', ...]."
        )
    if task == "regression":
        return "targets"
    if given is not None:
        known = set(given)
        if any(_text(cell) in known for column in cells.values() for cell in column):
            return "names"
    found = [number for column in parsed.values() for number in column]
    are_numbers = [number for number in found if number is not None]
    if 2 * len(are_numbers) <= len(found):
        return "names"
    fractions = any(isinstance(number, float) for number in are_numbers)
    is_open = given is None and task is None
    return "targets" if fractions and is_open else "ids"


def _targets(cells: Cells, parsed: Cells, given: Sequence[str] | None) -> PartLabels:
    if given is not None:
        raise ValueError("Regression targets have no `class_names`: leave it out.")
    values = {
        part: np.array([0 if n is None else n for n in column], np.float32)
        for part, column in parsed.items()
    }
    reasons = {
        part: [
            f"has the label {cell!r}, which is not a finite number"
            if number is None
            else None
            for cell, number in zip(cells[part], column, strict=True)
        ]
        for part, column in parsed.items()
    }
    return PartLabels(values, reasons, None, "regression")


def _from_names(cells: Cells, given: tuple[str, ...] | None) -> PartLabels:
    texts = {part: [_text(cell) for cell in column] for part, column in cells.items()}
    names = given or tuple(sorted(set(texts["train"])))
    ids = {name: i for i, name in enumerate(names)}
    source = "`class_names`" if given else "the classes of training"
    unknown = {
        text: f"has the label {text!r}, which is not among {source}."
        f"{did_you_mean(text, names)}".rstrip(".")
        for text in {text for column in texts.values() for text in column} - set(ids)
    }
    return PartLabels(
        {
            part: np.array([ids.get(text, 0) for text in column], np.int32)
            for part, column in texts.items()
        },
        {part: [unknown.get(text) for text in texts[part]] for part in texts},
        names,
        "classification",
    )


def _from_ids(
    cells: Cells, parsed: Cells, given: tuple[str, ...] | None, column: Hashable
) -> PartLabels:
    names = given or _numbered(parsed["train"], column)

    def reason(cell: Any, number: int | float | None) -> str | None:
        if isinstance(number, int) and 0 <= number < len(names):
            return None
        source = f"for {_few(names)}" if given else "in training"
        return f"has the label {cell!r}; class ids {source} are 0 to {len(names) - 1}"

    reasons = {
        part: [reason(*pair) for pair in zip(cells[part], found, strict=True)]
        for part, found in parsed.items()
    }
    values = {
        part: np.array(
            [
                number if why is None else 0
                for number, why in zip(found, reasons[part], strict=True)
            ],
            np.int32,
        )
        for part, found in parsed.items()
    }
    return PartLabels(values, reasons, names, "classification")


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}"


def _numbered(found: Sequence[Any], column: Hashable) -> tuple[str, ...]:
    """Returns `"0"`, `"1"`, and so on for ids without gaps."""
    present = sorted({number for number in found if isinstance(number, int)})
    if present == list(range(len(present))):
        return tuple(map(str, present))
    named = [str(number) for number in present]
    raise ValueError(
        f"The column {column!r} holds whole numbers, {_few(named)}, that do not count "
        "the classes from 0 without gaps. To take them as names, pass "
        f"class_names={named if len(named) <= 20 else '[...]'}; for targets, pass "
        "task='regression'."
    )


def _from_columns(
    columns: Mapping[str, Sequence[Sequence[Any]]],
    names: Sequence[Hashable],
    is_parsed: bool,
    given: tuple[str, ...] | None,
    task: str | None,
) -> PartLabels:
    rows: dict[str, np.ndarray] = {}
    reasons: dict[str, list[str | None]] = {}
    for part, cells in columns.items():
        parsed = [[_number(cell, is_parsed) for cell in column] for column in cells]
        reasons[part] = [
            _not_a_number(row, numbers_of_row, names)
            for row, numbers_of_row in zip(
                zip(*cells, strict=True), zip(*parsed, strict=True), strict=True
            )
        ]
        rows[part] = np.array(parsed, float).T.reshape(-1, len(names))
    if not any(why is None for part in rows for why in reasons[part]):
        return PartLabels(rows, reasons, None, "regression")
    good = {part: [why is None for why in reasons[part]] for part in rows}
    labels = _read_rows(
        np.concatenate([rows[part][good[part]] for part in rows]), names, given, task
    )
    values: dict[str, np.ndarray] = {}
    start = 0
    for part in rows:
        stop = start + sum(good[part])
        shape = (len(rows[part]), *labels.values.shape[1:])
        values[part] = np.zeros(shape, labels.values.dtype)
        values[part][good[part]] = labels.values[start:stop]
        start = stop
    return PartLabels(values, reasons, labels.class_names, labels.task)


def _not_a_number(
    cells: Sequence[Any], parsed: Sequence[Any], names: Sequence[Hashable]
) -> str | None:
    for cell, number, name in zip(cells, parsed, names, strict=True):
        if number is None:
            return f"has {cell!r} in column {name!r}, which is not a finite number"
    return None


def _read_rows(
    rows: np.ndarray,
    names: Sequence[Hashable],
    given: tuple[str, ...] | None,
    task: str | None,
) -> Labels:
    is_binary = bool(np.isin(rows, (0, 1)).all())
    if given is None and is_binary and task != "regression":
        given = tuple(map(str, names))
    return read_labels(rows, given, task)
