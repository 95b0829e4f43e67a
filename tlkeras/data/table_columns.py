"""Which columns of a table are read, and which rows are which part."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tlkeras._validation import unknown_name
from tlkeras.data.splitting import PART_OF_NAME, PARTS
from tlkeras.data.table import Table
from tlkeras.inputs.texts.reading import is_missing

# How many values a message names, and how many rows tell whether a column is text.
_SHOWN = 5
_LOOKED_AT = 1000


class TableColumns(NamedTuple):
    """The names of the columns of one part that are read."""

    inputs: tuple[Any, ...]
    labels: tuple[Any, ...]
    groups: tuple[Any, ...]


def by_part(argument: str, value: Any) -> dict[str, Any]:
    """Returns a dictionary by part, train first; anything else is all training."""
    if not isinstance(value, Mapping):
        return {"train": value}
    found: dict[str, Any] = {}
    for name, given in value.items():
        part = PART_OF_NAME.get(str(name).lower())
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
    for row, cell in enumerate(table.columns[split]):
        part = PART_OF_NAME.get(str(cell).strip().lower())
        if part:
            rows[part].append(row)
        else:
            reason = f"has {cell!r} in column {split!r}, not one of {list(PARTS)}"
            faults.append(table.fault(row, reason))
    if not rows["train"]:
        raise ValueError(
            f"No row of {table.sources[0]} has 'train' in column {split!r}. It holds "
            f"{sorted(set(map(str, table.columns[split])))[:_SHOWN]}."
        )
    parts = {part: table.select(chosen) for part, chosen in rows.items() if chosen}
    return parts | {"train": dataclasses.replace(parts["train"], faults=tuple(faults))}


def choose_columns(
    tables: dict[str, Table], text: Any, image: Any, label: Any, split: Any, groups: Any
) -> dict[str, TableColumns]:
    """Returns the columns of each part, all of them there.

    Raises:
        ValueError: If a column is not there, or it is not clear which holds texts.
    """
    argument, inputs = ("text", text) if image is None else ("image", image)
    columns: dict[str, TableColumns] = {}
    for part, table in tables.items():
        labels = _named_columns("label", label, part, table)
        together = () if groups is None else _group_column(groups, part, table)
        if inputs is None:
            chosen = (_only_text_column(table, {*labels, *together, split}),)
        else:
            chosen = _named_columns(argument, inputs, part, table)
        if len(chosen) > (1 if argument == "image" else 2):
            raise ValueError(
                f"`{argument}` must name one column{' or two' * (argument == 'text')}. "
                f"Received: {argument}={inputs!r}."
            )
        columns[part] = TableColumns(chosen, labels, together)
    for field in TableColumns._fields:
        counts = {part: len(getattr(chosen, field)) for part, chosen in columns.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(
                f"All parts must have as many columns for their {field}. Received: "
                f"{counts}."
            )
    return columns


def _named_columns(argument: str, value: Any, part: str, table: Table) -> tuple:
    if isinstance(value, Mapping):
        given = by_part(argument, value)
        if part not in given:
            raise ValueError(
                f"`{argument}` names no column for {part!r}. Received: "
                f"{argument}={value!r}."
            )
        value = given[part]
    # A frame may have tuples for column names.
    is_name = isinstance(value, tuple) and value in table.columns
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


def _only_text_column(table: Table, others: set[Any]) -> Any:
    found = [
        name
        for name, cells in table.columns.items()
        if name not in others and _is_text_like(cells, table.is_parsed)
    ]
    if len(found) == 1:
        return found[0]
    what = f"several columns of texts, {found}" if found else "no column of texts"
    raise ValueError(
        f"{table.sources[0]} has {what}, beside the labels: pass `text`, or `image` "
        f"for a column of image paths. Its columns are {list(table.columns)}."
    )


def _is_text_like(cells: Sequence[Any], is_parsed: bool) -> bool:
    """Tells whether most cells are strings that are no numbers."""
    present = [cell for cell in cells[:_LOOKED_AT] if not is_blank(cell)]
    texts = [
        c for c in present if isinstance(c, str) and (is_parsed or not _is_number(c))
    ]
    return 2 * len(texts) > len(present)


def is_blank(cell: Any) -> bool:
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
