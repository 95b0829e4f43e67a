"""A table of cells whose rows know where they come from."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import did_you_mean
from tlkeras.outputs.column import order_of


class Fault(NamedTuple):
    """A row that cannot be used.

    Attributes:
        source: The number of its source in `Table.sources`.
        line: Its line, or its position in a frame.
        reason: What is wrong, as half a sentence.
    """

    source: int
    line: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of cells, from files or from a frame.

    Attributes:
        columns: The cells of each column, one per row; missing ones are `None` or,
            in a CSV or TSV file, `""`.
        sources: The files, or what the frame is called.
        source_of: int `(n,)`, each row's source.
        lines: int `(n,)`, each row's line, from 1, or its position, from 0.
        is_parsed: Whether cells have types; in CSV and TSV files all are strings.
        faults: What is left out already.
        place: How a source and a line are written.
        orders: The names in columns of ordered categories, in their order.
    """

    columns: dict[Hashable, list[Any]]
    sources: tuple[str, ...]
    source_of: np.ndarray
    lines: np.ndarray
    is_parsed: bool
    faults: tuple[Fault, ...] = ()
    place: str = "{}:{}"
    orders: Mapping[Hashable, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def fault(self, row: int, reason: str) -> Fault:
        return Fault(int(self.source_of[row]), int(self.lines[row]), reason)

    def located(self, fault: Fault) -> tuple[str, str]:
        """Returns where a fault is, and its reason."""
        return self.place.format(self.sources[fault.source], fault.line), fault.reason

    def select(self, rows: Sequence[int]) -> "Table":
        """Returns the table of some rows, without faults."""
        columns = {
            name: [cells[row] for row in rows] for name, cells in self.columns.items()
        }
        rows = np.asarray(rows, int)
        return dataclasses.replace(
            self,
            columns=columns,
            source_of=self.source_of[rows],
            lines=self.lines[rows],
            faults=(),
        )

    def check_column(self, argument: str, name: Any) -> None:
        """Raises `ValueError` unless there is a column `name`."""
        if not isinstance(name, Hashable):
            raise ValueError(
                f"`{argument}` must name a column. Received: {argument}={name!r}."
            )
        if name in self.columns:
            return
        known = list(map(str, self.columns))
        raise ValueError(
            f"No such column in {self.sources[0]}: {argument}={name!r}."
            f"{did_you_mean(name, known)} Its columns are {known}."
        )


def frame_table(frame: Any, name: str) -> Table:
    """Returns a pandas DataFrame as a table.

    Args:
        frame: The DataFrame.
        name: The expression that messages call it by.

    Raises:
        ValueError: If it is none, it is empty or two columns have the same name.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        # Frames of Polars and tables of PyArrow.
        hint = f" Pass `{name}.to_pandas()`." if hasattr(frame, "to_pandas") else ""
        raise ValueError(
            f"`{name}` must be a pandas DataFrame. Received: "
            f"{type(frame).__name__}.{hint} For a file use `from_csv`, for arrays and "
            "lists `from_arrays`."
        )
    if not len(frame):
        raise ValueError(f"`{name}` has no rows.")
    twice = frame.columns[frame.columns.duplicated()].unique().tolist()
    if twice:
        raise ValueError(f"`{name}` has the same column name twice: {twice}.")
    cells = frame.astype(object).where(frame.notna(), None)
    return Table(
        {column: cells[column].tolist() for column in cells.columns},
        sources=(name,),
        source_of=np.zeros(len(frame), int),
        lines=np.arange(len(frame)),
        is_parsed=True,
        place="{}.iloc[{}]",
        orders={
            column: order
            for column in frame.columns
            if (order := order_of(frame[column])) is not None
        },
    )
