"""Series: windows as lines, forecasts and flags over what came, errors by step."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Width and height in inches of one window.
_CELL = (2.8, 1.7)


def series_grid(
    windows: np.ndarray,
    titles: Sequence[str],
    *,
    columns: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws windows in rows, a line for each channel, each below its title.

    Args:
        windows: `(n, steps, channels)`, NaN where missing.
        titles: One for each window.
        columns: Windows per row. By default as many as make the grid square.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The axes; each window has an inset axes in it (`ax.child_axes`).

    Example:
    >>> ax = series_grid(np.zeros((2, 8, 1)), ["a", "b"])
    >>> len(ax.child_axes)
    2
    """
    columns = columns or math.ceil(math.sqrt(len(windows)))
    rows = math.ceil(len(windows) / columns)
    if ax is None:
        ax = new_axes((columns * _CELL[0], rows * _CELL[1]))
    ax.set_axis_off()
    for i, (window, title) in enumerate(zip(windows, titles, strict=True)):
        row, column = divmod(i, columns)
        box = [column / columns, 1 - (row + 1) / rows, 0.86 / columns, 0.68 / rows]
        inside = ax.inset_axes(box)
        for channel, values in enumerate(window.T):
            inside.plot(values, color=PALETTE[channel % len(PALETTE)], linewidth=1)
        inside.set_title(short_label(title), fontsize=9)
        inside.tick_params(labelsize=7)
    return ax


def plot_forecast(
    true: np.ndarray,
    forecast: np.ndarray,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    *,
    naive: np.ndarray | None = None,
    history: np.ndarray | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a forecast over what came, with its interval.

    Args:
        true: What came, `(horizon,)`, NaN where unknown.
        forecast: The same.
        low: Lower ends of intervals, or `None`.
        high: Upper ends of intervals, or `None`.
        naive: Another forecast to compare with, or `None`.
        history: What the forecast was made of, `(steps,)`, or `None`.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The axes.

    Example:
    >>> ax = plot_forecast(np.arange(4.0), np.ones(4), np.zeros(4), 2 * np.ones(4))
    >>> [line.get_label() for line in ax.lines]
    ['true', 'forecast']
    """
    ax = new_axes((6.0, 3.4)) if ax is None else ax
    ahead = np.arange(1, len(forecast) + 1)
    if history is not None:
        ax.plot(np.arange(1 - len(history), 1), history, color=GREY, linewidth=1)
    if low is not None and high is not None:
        ax.fill_between(
            ahead, low, high, color=PALETTE[0], alpha=0.2, label="90% interval"
        )
    if naive is not None:
        ax.plot(ahead, naive, color=GREY, linestyle=":", label="seasonal naive")
    ax.plot(ahead, true, color="black", label="true")
    ax.plot(ahead, forecast, color=PALETTE[0], label="forecast")
    ax.set_xlabel("steps ahead")
    ax.legend(fontsize=8)
    return ax


def plot_anomalies(
    times: Any,
    values: np.ndarray,
    expected: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    flagged: np.ndarray,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a series over what was expected of it, and marks what is flagged.

    Args:
        times: Of each step, or its number, `(steps,)`.
        values: What came, `(steps,)`, NaN where unknown.
        expected: What was expected, the same.
        low: Lower ends of what is not flagged, the same.
        high: Their upper ends, the same.
        flagged: Bool `(steps,)`.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The axes.

    Example:
    >>> x = np.arange(4.0)
    >>> ax = plot_anomalies(x, x, x, x - 1, x + 1, x > 2)
    >>> [line.get_label() for line in ax.lines]
    ['values', 'expected', 'flagged']
    """
    ax = new_axes((9.0, 3.4)) if ax is None else ax
    ax.fill_between(times, low, high, color=PALETTE[0], alpha=0.2, label="not flagged")
    ax.plot(times, values, color="black", linewidth=1, label="values")
    ax.plot(times, expected, color=PALETTE[0], linewidth=1, label="expected")
    marks = np.where(flagged, values, np.nan)
    ax.plot(times, marks, "o", color=PALETTE[1], markersize=4, label="flagged")
    ax.legend(fontsize=8)
    return ax


def plot_by_step(by_step: Mapping[str, np.ndarray], ax: "Axes | None" = None) -> "Axes":
    """Draws errors over the steps of a horizon, a line for each method.

    Args:
        by_step: From names of methods to mean absolute errors, `(horizon,)`.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The axes.

    Example:
    >>> ax = plot_by_step({"model": np.ones(3), "seasonal naive": np.ones(3)})
    >>> ax.get_xlabel()
    'steps ahead'
    """
    ax = new_axes((5.2, 3.4)) if ax is None else ax
    for i, (name, errors) in enumerate(by_step.items()):
        steps = np.arange(1, len(errors) + 1)
        marker = "o" if len(errors) == 1 else None
        ax.plot(steps, errors, color=PALETTE[i], label=name, marker=marker)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("steps ahead")
    ax.set_ylabel("mean absolute error")
    ax.legend(fontsize=8)
    return ax
