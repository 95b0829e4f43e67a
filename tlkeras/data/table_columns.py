"""Which columns of a table are read, and which rows are which part."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tlkeras._validation import as_list, few, in_order, shown, unknown_name
from tlkeras.data.heads import are_heads
from tlkeras.data.splitting import PARTS, parts_of
from tlkeras.data.table import Table
from tlkeras.inputs import Input

# How many values a message names.
_SHOWN = 5


class TableColumns(NamedTuple):
    """The names of the columns of one part that are read.

    Those of labels are by head; `None` stands for the one head without a name.
    """

    inputs: tuple[Any, ...]
    labels: dict[str | None, tuple[Any, ...]]
    groups: tuple[Any, ...]
    time: tuple[Any, ...]


def by_part(argument: str, value: Any) -> dict[str, Any]:
    """Returns a dictionary by part, train first; anything else is all training."""
    if not isinstance(value, Mapping):
        return {"train": value}
    found: dict[str, Any] = {}
    parts = parts_of(value)
    for name, given in value.items():
        part = parts.get(name)
        if part is None:
            raise unknown_name(f"part of the data in `{argument}`", name, PARTS)
        if part in found:
            raise ValueError(
                f"`{argument}` names the part {part!r} twice: {list(value)}."
            )
        found[part] = given
    if "train" not in found:
        raise ValueError(f"`{argument}` must have 'train'. Received: {list(value)}.")
    return {part: found[part] for part in PARTS if part in found}


def parts_of_column(tables: dict[str, Table], split: Any) -> dict[str, Table]:
    """Deals the rows of one table out by a column that names their part."""
    if len(tables) > 1:
        raise ValueError(
            "`split` names a column of one table; the parts were given separately: "
            f"{list(tables)}. Leave `split` out."
        )
    table = tables["train"]
    table.check_column("split", split)
    faults = list(table.faults)
    rows: dict[str, list[int]] = {part: [] for part in PARTS}
    cells = table.columns[split]
    part_of = parts_of(dict.fromkeys(map(str, cells)))
    for row, cell in enumerate(cells):
        part = part_of.get(str(cell))
        if part:
            rows[part].append(row)
        else:
            reason = f"has {shown(cell)} in column {split!r}, not one of {list(PARTS)}"
            faults.append(table.fault(row, reason))
    if not rows["train"]:
        raise ValueError(
            f"No row of {table.sources[0]} has 'train' in column {split!r}. It holds "
            f"{sorted(set(map(str, table.columns[split])))[:_SHOWN]}."
        )
    parts = {part: table.select(chosen) for part, chosen in rows.items() if chosen}
    return parts | {"train": dataclasses.replace(parts["train"], faults=tuple(faults))}


def choose_columns(
    tables: dict[str, Table],
    its_input: Input,
    named: Any,
    label: Any,
    split: Any,
    groups: Any,
    time: Any,
) -> dict[str, TableColumns]:
    """Returns the columns of each part, all of them there.

    Args:
        tables: The table of each part.
        its_input: What is read of them.
        named: Its columns, where the user named some.
        label: As in `from_csv`.
        split: As in `from_csv`.
        groups: As in `from_csv`.
        time: As in `from_csv`.

    Raises:
        ValueError: If a column is not there, or it is not clear which holds inputs.
    """
    argument, most = its_input.argument or its_input.prefix, its_input.most_columns
    columns: dict[str, TableColumns] = {}
    for part, table in tables.items():
        labels = _label_columns(label, part, table)
        together = () if groups is None else _group_column(groups, part, table)
        others = {*sum(labels.values(), ()), *together, split}
        # Where parts follow time, it is an input only where it is named as one.
        ordered = () if time is None or part != "train" else (time,)
        if ordered:
            table.check_column("time", time)
        if its_input.takes_all and named == "all":
            rest = others | set(ordered)
            chosen = tuple(name for name in table.columns if name not in rest)
            # Those of training are to be in all parts.
            named = list(chosen)
        elif named is None:
            chosen = (_only_likely_column(table, its_input, others | set(ordered)),)
        else:
            chosen = _named_columns(argument, named, part, table)
        if its_input.takes_all and others & set(chosen):
            raise ValueError(
                f"`{argument}` must not name the columns of labels, groups or parts. "
                f"Received: {few(sorted(map(str, others & set(chosen))))} in both."
            )
        if len(chosen) > most:
            raise ValueError(
                f"`{argument}` must name one column{' or two' * (most > 1)}. "
                f"Received: {argument}={named!r}."
            )
        columns[part] = TableColumns(chosen, labels, together, ordered)
    _check_alike({part: len(each.inputs) for part, each in columns.items()}, "inputs")
    _check_alike(
        {
            part: {n: len(x) for n, x in each.labels.items()}
            for part, each in columns.items()
        },
        "labels",
    )
    return columns


def _check_alike(counts: dict[str, Any], of_what: str) -> None:
    if any(count != counts["train"] for count in counts.values()):
        raise ValueError(
            f"All parts must have as many columns for their {of_what}. Received: "
            f"{counts}."
        )


def _label_columns(
    label: Any, part: str, table: Table
) -> dict[str | None, tuple[Any, ...]]:
    """Returns the label columns of a part by head."""
    if isinstance(label, Mapping) and not are_heads(label):
        label = _of_part("label", label, part)
    if not isinstance(label, Mapping):
        return {None: _named_columns("label", label, part, table)}
    return {
        head: _named_columns(f"label[{head!r}]", names, part, table)
        for head, names in label.items()
    }


def _named_columns(argument: str, value: Any, part: str, table: Table) -> tuple:
    if isinstance(value, Mapping):
        value = _of_part(argument, value, part)
    # A frame may have tuples for column names.
    is_name = isinstance(value, tuple) and value in table.columns
    value = in_order(argument, value)
    if getattr(value, "ndim", None) == 1:
        value = as_list(argument, value)
    is_one = isinstance(value, str) or not isinstance(value, Sequence)
    names = (value,) if is_one or is_name else tuple(value)
    if not names:
        raise ValueError(f"`{argument}` names no column: {argument}={value!r}.")
    for name in names:
        table.check_column(argument, name)
    return names


def _group_column(groups: Any, part: str, table: Table) -> tuple:
    names = _named_columns("groups", groups, part, table)
    if len(names) > 1:
        raise ValueError(f"`groups` must name one column. Received: groups={groups!r}.")
    return names


def _of_part(argument: str, value: Mapping[str, Any], part: str) -> Any:
    given = by_part(argument, value)
    if part not in given:
        raise ValueError(
            f"`{argument}` names no column for {part!r}. Received: "
            f"{argument}={value!r}."
        )
    return given[part]


def _only_likely_column(table: Table, its_input: Input, others: set[Any]) -> Any:
    found = [
        name
        for name, cells in table.columns.items()
        if name not in others and its_input.are_likely(cells, table.is_parsed)
    ]
    if len(found) == 1:
        return found[0]
    several, none = f"several columns of {its_input.nouns}", "no column of"
    what = f"{several}, {found}" if found else f"{none} {its_input.nouns}"
    raise ValueError(
        f"{table.sources[0]} has {what}, beside the labels: name the one to read, such "
        f"as {its_input.prefix}=... Its columns are {list(table.columns)}."
    )
