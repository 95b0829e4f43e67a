"""Cells of tables as labels: what the label columns mean, the same in all parts."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import did_you_mean, few, is_blank, shown
from tlkeras.outputs.base import Output
from tlkeras.outputs.classes import Classes
from tlkeras.outputs.column import (
    BOOLEANS,
    ClassLookup,
    check_no_numbers,
    name_of,
    number_in,
    number_of,
    with_types,
)
from tlkeras.outputs.label_lists import (
    are_named,
    list_problem,
    listed,
    rows_of_lists,
    sorted_names,
)
from tlkeras.outputs.labels import Labels
from tlkeras.outputs.naming import are_zero_or_one, check_class_names
from tlkeras.outputs.numbers import Numbers, as_targets
from tlkeras.outputs.table import kind_of_filled, output_of_task, read_filled

Cells = Mapping[str, Sequence[Any]]


class CellLabels(NamedTuple):
    """What the label columns of a table hold, part by part.

    Attributes:
        kind: The kind of output that the labels are of.
        names: Its classes' names; `None` where it has none.
        values: Labels as data hold them, `(n,)` or `(n, k)`; anything where they are
            missing or a row has a reason.
        missing: Which of them are missing, bool, of the same shape.
        reasons: For each row why it has no label that can be used, or `None`.
    """

    kind: type[Output]
    names: tuple[str, ...] | None
    values: dict[str, np.ndarray]
    missing: dict[str, np.ndarray]
    reasons: dict[str, list[str | None]]

    def select(self, rows: Mapping[str, Sequence[int]]) -> "CellLabels":
        """Returns those of some rows of each part."""
        return self._replace(
            values={part: self.values[part][rows[part]] for part in rows},
            missing={part: self.missing[part][rows[part]] for part in rows},
            reasons={
                part: [self.reasons[part][i] for i in rows[part]] for part in rows
            },
        )

    def read(self) -> tuple[Output, dict[str, np.ndarray]]:
        """Returns the output, and the labels of each part as data hold them.

        Raises:
            ValueError: If nothing can be learnt from those of training.
        """
        output, _ = self.kind.of_labels(self.values["train"], self.names)
        return output, self.values

    def read_with_gaps(self) -> tuple[Output, dict[str, np.ndarray]]:
        """Returns the output, and packed rows of each part, NaN where missing.

        Raises:
            ValueError: If nothing can be learnt from those of training.
        """
        train = self.values["train"], self.missing["train"]
        output, _ = read_filled(*train, self.names, self.kind)
        return output, {part: self._packed(output, part) for part in self.values}

    def _packed(self, output: Output, part: str) -> np.ndarray:
        values = self.values[part]
        rows = output.pack(values, len(values), "Labels")
        rows[self.missing[part]] = np.nan
        return rows


def read_cells(
    columns: Mapping[str, Sequence[Sequence[Any]]],
    names: Sequence[Hashable],
    is_parsed: bool,
    class_names: Sequence[str] | None,
    task: str | None,
    order: Sequence[str] | None = None,
) -> CellLabels:
    """Works out what labels mean, over all parts together.

    One column whose cells are mostly numbers holds class ids, or regression targets
    where any of them is no whole number; else its cells are the classes' names, those
    of booleans "False" and "True". With `class_names`, `ClassLookup` says which cells
    are names. Cells that list names are rows of 0 and 1, which are classes where each
    lists one.
    Several columns are one-hot, multi-hot or targets, as in `read_labels`.

    Args:
        columns: For each part, first of all for `"train"`, the cells of each label
            column; blank where a label is missing.
        names: The names of the columns in the training part.
        is_parsed: Whether cells have types. Otherwise all are strings.
        class_names: As in `read_labels`.
        task: As in `read_labels`.
        order: The names of the only column, where it holds ordered categories.

    Raises:
        ValueError: If labels do not fit together, or not with the other arguments.
    """
    kind = None if task is None else output_of_task(task)
    if class_names is None and len(names) == 1 and kind in (None, Classes):
        class_names = order
    given = None if class_names is None else check_class_names(class_names)
    if len(names) > 1:
        return _of_columns(columns, names, is_parsed, given, kind)
    blank = {
        part: np.array([is_blank(c) for c in x], bool) for part, (x,) in columns.items()
    }
    cells = {
        part: [cell for cell in only if not is_blank(cell)]
        for part, (only,) in columns.items()
    }
    if not cells["train"]:
        raise ValueError(f"The column {names[0]!r} holds no label in training.")
    all_cells = [cell for only in cells.values() for cell in only]
    are_lists = any(listed(cell) is not None for cell in all_cells)
    if are_lists and not are_named(all_cells, given):
        found = _of_lists(cells, names[0], given, kind)
    else:
        found = _of_column(cells, names[0], is_parsed, given, kind)
    return _spread(found, blank)


def _spread(found: CellLabels, blank: Mapping[str, np.ndarray]) -> CellLabels:
    """Returns labels of all rows, of those of the rows that are not blank."""
    values, missing, reasons = {}, {}, {}
    for part, gaps in blank.items():
        known = found.values[part]
        values[part] = np.zeros((len(gaps), *known.shape[1:]), known.dtype)
        values[part][~gaps] = known
        missing[part] = np.ones(values[part].shape, bool)
        missing[part][~gaps] = False
        left = iter(found.reasons[part])
        reasons[part] = [None if gap else next(left) for gap in gaps]
    return found._replace(values=values, missing=missing, reasons=reasons)


def _of_lists(
    cells: Cells,
    column: Hashable,
    given: tuple[str, ...] | None,
    kind: type[Output] | None,
) -> CellLabels:
    """Reads cells of which some list names."""
    if kind is Numbers:
        raise ValueError("Regression targets must be numbers, not lists.")
    usable = [cell for cell in cells["train"] if list_problem(cell, None, "") is None]
    names, source = given or sorted_names(usable), "`class_names`"
    if not names:
        raise ValueError(
            f"The cells of column {column!r} list no names. Received: a cell such as "
            f"{cells['train'][0]!r}. Each label must be a name: of ids make "
            "`[str(i) for i in ids]`; of one-hot or multi-hot rows a column for each "
            "label, label=['a', 'b', ...], or an array, `tl.from_arrays(x, rows)`."
        )
    if given is None:
        source = "the labels of training"
    reasons = {
        part: [list_problem(cell, dict.fromkeys(names), source) for cell in column]
        for part, column in cells.items()
    }
    rows = {
        part: rows_of_lists(
            [[] if why else c for c, why in zip(column, reasons[part], strict=True)],
            names,
        )
        for part, column in cells.items()
    }
    alone = {part: values.sum(axis=1) == 1 for part, values in rows.items()}
    if kind is None:
        each = [
            one or why is not None
            for part in rows
            for one, why in zip(alone[part], reasons[part], strict=True)
        ]
        kind = Classes if all(each) else Labels
    if kind is Labels:
        return CellLabels(Labels, names, rows, {}, reasons)
    wrong = "which is not one label, as task='classification' takes"
    reasons = {
        part: [
            why or (None if one else f"has {shown(cell)}, {wrong}")
            for cell, one, why in zip(cells[part], alone[part], whys, strict=True)
        ]
        for part, whys in reasons.items()
    }
    ids = {
        part: values.argmax(axis=1).astype(np.int32) for part, values in rows.items()
    }
    return CellLabels(Classes, names, ids, {}, reasons)


def _of_column(
    cells: Cells,
    column: Hashable,
    is_parsed: bool,
    given: tuple[str, ...] | None,
    kind: type[Output] | None,
) -> CellLabels:
    """Reads one column without its blank cells."""
    if not is_parsed and kind is not Numbers:
        cells = _with_types(cells)
    number = number_in if kind is Numbers else number_of
    parsed = {part: list(map(number, only)) for part, only in cells.items()}
    if given is not None and kind is not Numbers:
        return _of_classes(cells, ClassLookup(given), kind)
    holds = _what_it_holds(cells, parsed, kind)
    if holds == "targets":
        return _targets(cells, parsed, given)
    if holds == "names":
        return _from_names(cells, column, kind)
    return _from_ids(cells, _numbered(parsed["train"], column))


def _with_types(cells: Cells) -> dict[str, list[Any]]:
    """Returns cells of a file without types with those of all parts together."""
    typed = iter(with_types([cell for only in cells.values() for cell in only]))
    return {part: [next(typed) for _ in only] for part, only in cells.items()}


def _what_it_holds(cells: Cells, parsed: Cells, kind: type[Output] | None) -> str:
    """Returns what one column holds: `"names"`, `"ids"` or `"targets"`."""
    _check_not_labels(kind)
    if kind is Numbers:
        return "targets"
    found = [number for column in parsed.values() for number in column]
    are_numbers = [number for number in found if number is not None]
    all_cells = [cell for column in cells.values() for cell in column]
    are_booleans = all(isinstance(cell, bool | np.bool_) for cell in all_cells)
    if are_booleans or 2 * len(are_numbers) <= len(found):
        return "names"
    fractions = any(isinstance(number, float) for number in are_numbers)
    return "targets" if fractions and kind is None else "ids"


def _check_not_labels(kind: type[Output] | None) -> None:
    if kind is Labels:
        raise ValueError(
            "A multi-label task needs one column of 0 and 1 for each label: "
            "label=['a', 'b', ...]; or a list of names in each cell."
        )


def _targets(cells: Cells, parsed: Cells, given: Sequence[str] | None) -> CellLabels:
    if given is not None:
        raise ValueError("Regression targets have no `class_names`: leave it out.")
    values = {
        part: as_targets(np.array([0 if n is None else n for n in column], float))
        for part, column in parsed.items()
    }
    reasons = {
        part: [
            f"has the label {shown(cell)}, which is not a finite number"
            if number is None
            else None
            for cell, number in zip(cells[part], column, strict=True)
        ]
        for part, column in parsed.items()
    }
    return CellLabels(Numbers, None, values, {}, reasons)


def _of_classes(
    cells: Cells, lookup: ClassLookup, kind: type[Output] | None
) -> CellLabels:
    """Reads cells as the classes that the user named, or as their positions."""
    _check_not_labels(kind)
    if lookup.are_names([cell for column in cells.values() for cell in column]):
        return _from_lookup(cells, lookup, "`class_names`")
    return _from_ids(cells, lookup.names, given=True)


def _from_names(
    cells: Cells, column: Hashable, kind: type[Output] | None
) -> CellLabels:
    names = sorted({name_of(cell) for cell in cells["train"]})
    if kind is None:
        check_no_numbers(names, f"The column {column!r}")
    if set(names) < set(BOOLEANS):
        # An answer that training lacks keeps its number.
        names = BOOLEANS
    return _from_lookup(cells, ClassLookup(names), "the classes of training")


def _from_lookup(cells: Cells, lookup: ClassLookup, source: str) -> CellLabels:
    found = {part: list(map(lookup.by_name, column)) for part, column in cells.items()}

    def reason(cell: Any) -> str:
        hint = did_you_mean(name_of(cell), lookup.names).rstrip(".")
        return (
            f"has the label {shown(name_of(cell))}, which is not among {source}.{hint}"
        )

    reasons = {
        part: [
            reason(cell).rstrip(".") if number is None else None
            for cell, number in zip(cells[part], numbers, strict=True)
        ]
        for part, numbers in found.items()
    }
    return CellLabels(Classes, lookup.names, _class_numbers(found), {}, reasons)


def _from_ids(cells: Cells, names: tuple[str, ...], given: bool = False) -> CellLabels:
    lookup = ClassLookup(names)
    found = {
        part: list(map(lookup.by_position, column)) for part, column in cells.items()
    }
    source = f"for {few(names)}" if given else "in training"
    reasons = {
        part: [
            f"has the label {shown(cell)}; class ids {source} are 0 to {len(names) - 1}"
            if number is None
            else None
            for cell, number in zip(cells[part], numbers, strict=True)
        ]
        for part, numbers in found.items()
    }
    return CellLabels(Classes, names, _class_numbers(found), {}, reasons)


def _class_numbers(found: Cells) -> dict[str, np.ndarray]:
    """Returns class numbers, anything where there are none."""
    return {
        part: np.array([number or 0 for number in column], np.int32)
        for part, column in found.items()
    }


def _numbered(found: Sequence[Any], column: Hashable) -> tuple[str, ...]:
    """Returns `"0"`, `"1"`, and so on for ids without gaps."""
    present = sorted({number for number in found if isinstance(number, int)})
    if present == list(range(len(present))):
        return tuple(map(str, present))
    named = [str(number) for number in present]
    raise ValueError(
        f"The column {column!r} holds whole numbers, {few(named)}, that do not count "
        "the classes from 0 without gaps. To take them as names, pass "
        f"class_names={named if len(named) <= 20 else '[...]'}; for targets, pass "
        "task='regression'."
    )


def _of_columns(
    columns: Mapping[str, Sequence[Sequence[Any]]],
    names: Sequence[Hashable],
    is_parsed: bool,
    given: tuple[str, ...] | None,
    kind: type[Output] | None,
) -> CellLabels:
    """Reads several columns, each row of which is one label."""
    values: dict[str, np.ndarray] = {}
    missing: dict[str, np.ndarray] = {}
    reasons: dict[str, list[str | None]] = {}
    shape = -1, len(names)
    for part, cells in columns.items():
        rows = list(zip(*cells, strict=True))
        number = number_of if is_parsed else number_in
        parsed = [list(map(number, row)) for row in rows]
        values[part] = np.array([[n or 0 for n in row] for row in parsed], float)
        missing[part] = np.array([list(map(is_blank, row)) for row in rows], bool)
        values[part], missing[part] = (
            array.reshape(shape) for array in (values[part], missing[part])
        )
        reasons[part] = [
            _not_a_number(*row, names)
            for row in zip(rows, parsed, missing[part], strict=True)
        ]
    found = CellLabels(kind or Numbers, None, values, missing, reasons)
    used = {
        part: np.array([why is None for why in reasons[part]], bool)
        & ~missing[part].all(axis=1)
        for part in values
    }
    if not any(rows.any() for rows in used.values()):
        return found
    return _of_rows(found, used, names, given, kind)


def _not_a_number(
    cells: Sequence[Any],
    parsed: Sequence[Any],
    gaps: Sequence[bool],
    names: Sequence[Hashable],
) -> str | None:
    for cell, number, gap, name in zip(cells, parsed, gaps, names, strict=True):
        if number is None and not gap:
            return f"has {shown(cell)} in column {name!r}, which is not a finite number"
    return None


def _of_rows(
    found: CellLabels,
    used: Mapping[str, np.ndarray],
    names: Sequence[Hashable],
    given: tuple[str, ...] | None,
    kind: type[Output] | None,
) -> CellLabels:
    """Returns what rows of numbers mean.

    Args:
        found: The rows, filled where a number is missing.
        used: Which of each part have some number, and no reason, bool `(n,)`.
        names: As in `read_cells`.
        given: The classes' names, where the user gave them.
        kind: The kind of output, where it is not to be worked out.
    """
    rows, gaps = (
        np.concatenate([arrays[part][used[part]] for part in used])
        for arrays in (found.values, found.missing)
    )
    if given is None and are_zero_or_one(rows) and kind is not Numbers:
        given = tuple(map(str, names))
    output, labels = (kind or kind_of_filled(rows, gaps, given)).of_labels(rows, given)
    values, missing, start = {}, {}, 0
    for part, chosen in used.items():
        stop = start + chosen.sum()
        values[part] = np.zeros((len(chosen), *labels.shape[1:]), labels.dtype)
        values[part][chosen] = labels[start:stop]
        gone = found.missing[part]
        missing[part] = gone.all(axis=1) if labels.ndim == 1 else gone
        start = stop
    return CellLabels(type(output), output.class_names, values, missing, found.reasons)
