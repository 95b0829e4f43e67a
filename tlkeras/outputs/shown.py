"""What an output shows in a report: pictures not yet drawn, tables not yet set."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Plot(NamedTuple):
    """A picture of a report.

    Attributes:
        name: Of its file, without suffix.
        caption: What stands above it.
        description: What it shows, in words.
        size: Width and height in inches.
        draw: Function that takes Matplotlib axes and draws on them.
    """

    name: str
    caption: str
    description: str
    size: tuple[float, float]
    draw: Callable[[Any], Any]


class Table(NamedTuple):
    """A table of a report.

    Attributes:
        caption: What it shows.
        header: Titles of the columns.
        rows: Cells; the first of each row names it.
        folded_behind: Words that it is folded away behind; `""` where it is not.
        scrolls: Whether it may have very many rows.
    """

    caption: str
    header: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    folded_behind: str = ""
    scrolls: bool = False
