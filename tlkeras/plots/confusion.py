"""The confusion matrix as a picture: rows true, columns predicted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import (
    LINE,
    SMALLEST_FONT,
    label_step,
    new_axes,
    short_label,
    size_in_inches,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST_FONT = 10.0
# The most classes for which cells without examples carry a "0".
_MOST_ZEROS = 12
# The shade, from 0 to 1, from which white reads better than black.
_DARK = 0.55


def plot_confusion(
    matrix: Any,
    class_names: Sequence[str],
    ax: "Axes | None" = None,
    normalize: bool = False,
) -> "Axes":
    """Draws a confusion matrix.

    Each cell carries its number where the cells are large enough for one, and below it
    the share of the true class where there is room; else a colour bar gives the scale
    (that of the square root, so that rare confusions show). With many classes only
    every n-th name is written.

    Args:
        matrix: Array-like of shape `(k, k)`, non-negative counts. Row `i`, column
            `j`: examples of class `i` predicted as class `j`.
        class_names: The `k` names, in the order of the labels.
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.
        normalize: Whether to draw each row as shares of its sum (0 to 1) rather
            than counts. A row without examples stays blank. Defaults to `False`.

    Returns:
        The axes.

    Raises:
        ValueError: If `matrix` is not square and non-negative, or does not match
            `class_names`.

    Example:
    >>> ax = plot_confusion([[5, 1], [0, 4]], ["cat", "dog"])
    >>> ax.get_xlabel()
    'Predicted class'
    """
    matrix = _check_matrix(matrix, class_names)
    labels = [short_label(name) for name in class_names]
    values = _row_shares(matrix) if normalize else matrix
    if ax is None:
        ax = new_axes(confusion_size(labels))
    highest = 1.0 if normalize else max(float(matrix.max()), 1.0)
    texts = _cell_texts(values, normalize)
    fontsize = _cell_font(ax, texts)
    with_shares = None if normalize else _with_shares(texts, _row_shares(matrix))
    if with_shares and _cell_font(ax, with_shares) >= SMALLEST_FONT:
        texts, fontsize = with_shares, _cell_font(ax, with_shares)
    if fontsize >= SMALLEST_FONT:
        ax.imshow(values, cmap="Blues", vmin=0, vmax=highest)
        _write_cells(ax, values / highest, texts, fontsize)
    else:
        image = ax.imshow(values, cmap="Blues", norm=_root_scale(highest))
        unit = "share of the true class" if normalize else "examples"
        ax.get_figure().colorbar(image, ax=ax, label=unit, shrink=0.8)
    _write_names(ax, labels)
    return ax


def confusion_size(class_names: Sequence[str]) -> tuple[float, float]:
    """Returns the width and height in inches that suit a matrix of these classes."""
    count = len(class_names)
    cells = min(max(2.6, 0.6 * count), 9.0)
    margin = 0.6 + max(text_width(short_label(n), _LARGEST_FONT) for n in class_names)
    colour_bar = 1.0 if count > 40 else 0.0
    return cells + margin + colour_bar, cells + margin


def _check_matrix(matrix: Any, class_names: Sequence[str]) -> np.ndarray:
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(
            "`matrix` must be a square array of shape (classes, classes). "
            f"Received shape {matrix.shape}."
        )
    if not np.all(matrix >= 0):
        raise ValueError(
            "`matrix` must hold counts of at least 0. "
            f"Received a smallest value of {matrix.min()}."
        )
    if len(class_names) != len(matrix):
        raise ValueError(
            f"`class_names` must have one name per row of `matrix` ({len(matrix)}). "
            f"Received {len(class_names)} names."
        )
    return matrix


def _row_shares(matrix: np.ndarray) -> np.ndarray:
    totals = matrix.sum(axis=1, keepdims=True).astype("float64")
    shares = np.full(matrix.shape, np.nan)
    return np.divide(matrix, totals, out=shares, where=totals > 0)


def _cell_texts(values: np.ndarray, normalize: bool) -> list[list[str]]:
    # In a large matrix the many zeros would hide the few confusions.
    zero = "0" if len(values) <= _MOST_ZEROS else ""

    def text(value: float) -> str:
        if value == 0 or np.isnan(value):
            return zero if value == 0 else ""
        if normalize:
            return f"{value:.2f}"
        return f"{value:.0f}" if value < 1e6 else f"{value:.1e}"

    return [[text(value) for value in row] for row in values]


def _with_shares(texts: list[list[str]], shares: np.ndarray) -> list[list[str]]:
    """Puts shares of the rows below counts other than 0."""
    return [
        [
            f"{text}\n{share:.0%}" if text.strip("0") else text
            for text, share in zip(row, of_row, strict=True)
        ]
        for row, of_row in zip(texts, shares, strict=True)
    ]


def _root_scale(highest: float) -> Any:
    """Returns a colour scale on which a few confusions beside many hits still show."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=highest)


def _cell_font(ax: "Axes", texts: list[list[str]]) -> float:
    cell = min(size_in_inches(ax)) / len(texts)
    lines = [text.split("\n") for row in texts for text in row]
    widest = max(text_width(line, 1.0) for text in lines for line in text)
    tallest = max(map(len, lines)) * LINE / 72
    return min(_LARGEST_FONT, 0.85 * cell / max(widest, tallest))


def _write_cells(
    ax: "Axes", shades: np.ndarray, texts: list[list[str]], fontsize: float
) -> None:
    for (row, column), shade in np.ndenumerate(shades):
        ax.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=fontsize,
            color="white" if shade > _DARK else "black",
        )


def _write_names(ax: "Axes", labels: list[str]) -> None:
    width, height = size_in_inches(ax)
    extent = min(width, height)
    cell = 72 * extent / len(labels)
    fontsize = min(max(0.75 * cell, SMALLEST_FONT), _LARGEST_FONT)
    shown = range(0, len(labels), label_step(len(labels), extent, fontsize))
    names = [labels[i] for i in shown]
    widest = max(text_width(name, fontsize) for name in names)
    upright = widest < 0.9 * extent / len(names)
    # Class names are text, not formulas: a "$" in one stays a "$".
    style = {"fontsize": fontsize, "parse_math": False}
    ax.set_yticks(list(shown), names, **style)
    if upright:
        ax.set_xticks(list(shown), names, **style)
    elif len(labels) <= 12:
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(list(shown), names, **style, **turned)
    else:
        ax.set_xticks(list(shown), names, **style, rotation=90)
    ax.set_xlabel("Predicted class")
    ax.set_ylabel("True class")
