"""`Description`: a table that prints itself, in a notebook as HTML."""

import abc
import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any


class Described(abc.ABC):
    """What prints as the tables that it makes of itself, in a notebook as HTML."""

    @abc.abstractmethod
    def _described(self) -> "Description | Descriptions":
        """Returns what to print."""

    def __str__(self) -> str:
        return str(self._described())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._described()._repr_html_()


@dataclasses.dataclass(frozen=True)
class Description:
    """A table with a line above and notes below; prints itself, also as HTML.

    Attributes:
        title: What the table is about; may be empty.
        header: Column names.
        rows: Cells, one tuple per row; the first cell names the row.
        notes: Lines below the table.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        table = "\n".join(aligned([self.header, *self.rows]))
        blocks = [self.title, table, "\n".join(self.notes)]
        return "\n\n".join(filter(None, blocks))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = html_table(self.header, self.rows)
        return f"{_html_title(self.title)}{table}{_html_notes(self.notes)}"


@dataclasses.dataclass(frozen=True)
class Descriptions:
    """Several tables under one title; prints itself, also as HTML.

    Attributes:
        title: What the tables are about; may be empty.
        tables: The tables.
        notes: Lines below them.
    """

    title: str
    tables: tuple[Description, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        blocks = [self.title, *map(str, self.tables), "\n".join(self.notes)]
        return "\n\n".join(filter(None, blocks))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = "".join(table._repr_html_() for table in self.tables)
        return f"{_html_title(self.title)}{tables}{_html_notes(self.notes)}"


def aligned(rows: Sequence[Sequence[str]], least: int = 0) -> list[str]:
    """Returns rows as lines, their first cells to the left, all others to the right.

    Args:
        rows: Cells, as many in each row.
        least: Characters that a column, but for the first, has at least.
    """
    columns = list(zip(*rows, strict=True))
    first, *widths = (max(map(len, column)) for column in columns)
    return [
        "  ".join(
            [name.ljust(first)]
            + [x.rjust(max(n, least)) for x, n in zip(cells, widths, strict=True)]
        ).rstrip()
        for name, *cells in rows
    ]


def html_table(
    header: Iterable[Any],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    sentences: bool = False,
) -> str:
    """Returns a table as HTML; the first cell of each row names it.

    Args:
        header: Column names.
        rows: Cells, turned into text.
        caption: What stands above the table.
        sentences: Whether cells are to be read from the left, not compared as numbers.
    """
    cell = '<td style="text-align: left">' if sentences else "<td>"
    head = "".join(f'<th scope="col">{html.escape(str(x))}</th>' for x in header)
    body = "\n".join(
        f'<tr><th scope="row">{html.escape(str(first))}</th>'
        + "".join(f"{cell}{html.escape(str(x))}</td>" for x in rest)
        + "</tr>"
        for first, *rest in rows
    )
    above = f"<caption>{html.escape(caption)}</caption>\n" if caption else ""
    return (
        f"<table>{above}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n"
        "</tbody></table>"
    )


def _html_title(title: str) -> str:
    return f"<p>{html.escape(title)}</p>" if title else ""


def _html_notes(notes: Sequence[str]) -> str:
    return f"<p>{''.join(f'<br>{html.escape(note)}' for note in notes)}</p>"
