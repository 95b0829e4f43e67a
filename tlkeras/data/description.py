"""The readable account of what a `Splits` holds."""

import dataclasses
import html
import warnings
from collections.abc import Sequence

# How many skipped files are listed; all of them are in `Splits.skipped`.
_SKIPPED_SHOWN = 20

# How many of them a message names.
_SKIPPED_IN_MESSAGE = 5


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
        notes = "".join(f"<br>{html.escape(note)}" for note in self.notes)
        return (
            f"<p>{html.escape(self.title)}</p><table><thead>{row(self.header, 'th')}"
            f"</thead><tbody>{body}</tbody></table><p>{notes}</p>"
        )


def skipped_notes(
    skipped: Sequence[tuple[str, str]], noun: str = "file"
) -> tuple[str, ...]:
    """Returns one line per skipped file, or row, the first of many."""
    if not skipped:
        return ()
    shown = [f"  {path} {reason}" for path, reason in skipped[:_SKIPPED_SHOWN]]
    more = len(skipped) - len(shown)
    count = f"{len(skipped)} {noun}{'s' * (len(skipped) != 1)} skipped:"
    return count, *shown, *([f"  and {more} more"] if more else [])


def first_skipped(skipped: Sequence[tuple[str, str]]) -> str:
    """Returns the first of what is skipped, for a message."""
    shown = [f"{place} {reason}" for place, reason in skipped[:_SKIPPED_IN_MESSAGE]]
    more = len(skipped) - len(shown)
    return f"{'; '.join(shown)}{f'; and {more} more' if more else ''}"


def warn_of_skipped(skipped: Sequence[tuple[str, str]], used: int, noun: str) -> None:
    """Warns the caller of the caller, where something is skipped."""
    if skipped:
        warnings.warn(
            f"Skipped {len(skipped)} of {len(skipped) + used} {noun}: "
            f"{first_skipped(skipped)}. All of them are in `.skipped`.",
            UserWarning,
            stacklevel=3,
        )
