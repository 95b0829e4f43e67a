"""A figure for each part of the data, with its interval."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_SLICES = 40


def plot_slices(
    rows: Sequence[Mapping[str, Any]],
    figure: str,
    ax: "Axes | None" = None,
    *,
    title: str = "",
) -> "Axes":
    """Draws a figure for each slice as a dot, and its interval as a line.

    Slices of few examples are hollow and grey. Of very many slices the first 40 are
    drawn.

    Args:
        rows: For each slice a mapping with `"slice"`, `"examples"`, `figure`,
            `"low"`, `"high"` and `"small"`, from top to bottom.
        figure: The key of the figure, such as `"accuracy"`.
        ax: Matplotlib axes. Defaults to an axes of a new figure.
        title: What the slices are.

    Returns:
        The axes.

    Raises:
        ValueError: If there are no slices.

    Example:
    >>> row = {"slice": "indoor", "examples": 50, "low": 0.7, "high": 0.9}
    >>> ax = plot_slices([{**row, "accuracy": 0.8, "small": False}], "accuracy")
    >>> ax.get_xlabel()
    'accuracy'
    """
    if not rows:
        raise ValueError("`rows` must hold at least one slice. Received none.")
    rows = rows[:_MOST_SLICES]
    if ax is None:
        ax = new_axes(slices_size(len(rows)))
    for place, row in enumerate(rows):
        colour = GREY if row["small"] else PALETTE[0]
        if np.isfinite(row["low"]):
            ax.plot([row["low"], row["high"]], [place] * 2, color=colour, linewidth=2)
        fill = "white" if row["small"] else colour
        ax.scatter(row[figure], place, s=44, color=fill, edgecolors=colour, zorder=3)
    names = [f"{short_label(row['slice'])} ({row['examples']})" for row in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=9, parse_math=False)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(figure)
    ax.set_title(short_label(title), fontsize=10, parse_math=False)
    ax.grid(axis="x", alpha=0.3)
    return ax


def slices_size(count: int) -> tuple[float, float]:
    """Returns the width and height in inches that suit `count` slices."""
    return 5.6, 1.2 + 0.32 * min(count, _MOST_SLICES)
