"""Figures, palette and label fitting: what every plot of the package shares."""

import io
import math
from collections.abc import Callable
from typing import Any

# Okabe and Ito's palette without its yellow, which is too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#595959"
SMALLEST_FONT = 7.0

# The width of an average character and the height of a line, in font sizes.
_CHARACTER = 0.6
LINE = 1.25


def new_axes(figsize: tuple[float, float], columns: int = 1) -> Any:
    """Makes a pyplot figure, which a notebook shows once, and returns its axes.

    Args:
        figsize: Width and height in inches.
        columns: Number of axes side by side.

    Returns:
        One axes, or an array of `columns` axes where `columns` is above 1.
    """
    from matplotlib import pyplot

    _, axes = pyplot.subplots(1, columns, figsize=figsize, layout="constrained")
    return axes


def to_png(
    draw: Callable[[Any], Any], figsize: tuple[float, float], dpi: int = 110
) -> bytes:
    """Returns what `draw(ax)` draws as PNG bytes, and leaves no figure behind.

    Args:
        draw: Function that takes an axes and draws on it.
        figsize: Width and height in inches.
        dpi: Pixels per inch.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    draw(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def size_in_inches(ax: Any) -> tuple[float, float]:
    """Returns the width and height of an axes in inches."""
    box = ax.get_window_extent()
    dpi = ax.get_figure(root=True).dpi
    return box.width / dpi, box.height / dpi


def short_label(name: Any, limit: int = 24) -> str:
    """Returns `name` on one line of at most `limit` characters, cut in the middle."""
    label = " ".join(str(name).split())
    if len(label) <= limit:
        return label
    tail = (limit - 1) // 3
    return f"{label[: limit - 1 - tail].rstrip()}…{label[-tail:].lstrip()}"


def text_width(label: str, fontsize: float) -> float:
    """Returns the approximate width in inches of `label` at `fontsize` points."""
    return len(label) * fontsize * _CHARACTER / 72


def label_step(count: int, inches: float, fontsize: float = SMALLEST_FONT) -> int:
    """Returns `n` such that every n-th of `count` lines of text fits in `inches`."""
    fitting = max(1, int(inches * 72 / (fontsize * LINE)))
    return math.ceil(count / fitting)
