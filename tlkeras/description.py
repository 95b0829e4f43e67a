"""`Description`: a table that prints itself, in a notebook as HTML."""

import dataclasses
import html
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Description:
    """A table with a line above and notes below; prints itself, also as HTML.

    Attributes:
        title: What the table is about.
        header: Column names.
        rows: Cells, one tuple per row; the first cell names the row.
        notes: Lines below the table.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        table = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join(
            [self.title, "", *lines, *([""] if self.notes else []), *self.notes]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        body = "".join(row(cells, "td") for cells in self.rows)
        return (
            f"<p>{html.escape(self.title)}</p><table><thead>{row(self.header, 'th')}"
            f"</thead><tbody>{body}</tbody></table>{_html_notes(self.notes)}"
        )


@dataclasses.dataclass(frozen=True)
class Descriptions:
    """Several tables under one title; prints itself, also as HTML.

    Attributes:
        title: What the tables are about.
        tables: The tables.
        notes: Lines below them.
    """

    title: str
    tables: tuple[Description, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = ["\n".join(self.notes)] if self.notes else []
        return "\n\n".join([self.title, *map(str, self.tables), *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = "".join(table._repr_html_() for table in self.tables)
        return f"<p>{html.escape(self.title)}</p>{tables}{_html_notes(self.notes)}"


def _html_notes(notes: Sequence[str]) -> str:
    return f"<p>{''.join(f'<br>{html.escape(note)}' for note in notes)}</p>"
