"""Examples with a verdict each: pictures in a grid, texts in lines."""

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import new_axes, to_png
from tlkeras.plots.images import image_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELL = (2.3, 2.95)
_TEXT_WIDTH = 7.0
_LINE_HEIGHT = 0.19
# Characters of a line, and lines of a text.
_CHARACTERS = 88
_LINES = 3
_TITLE_CHARACTERS = 26


def plot_examples(
    inputs: Any, titles: Sequence[str], ax: "Axes | None" = None
) -> "Axes":
    """Draws pictures in a grid, or texts below one another, each with its title.

    Args:
        inputs: Pictures `(n, height, width, 1 or 3)`, of 0 to 255, 0 to 1 or -1 to 1;
            or texts `(n,)`, pairs of texts `(n, 2)`.
        titles: One for each.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If `inputs` are no pictures or texts, or not as many as titles.

    Example:
    >>> ax = plot_examples(["Dull.", "Bright."], ["good taken for bad", "bad"])
    >>> len(ax.texts)
    4
    """
    inputs = np.asarray(inputs)
    if not inputs.ndim or not len(inputs) or len(inputs) != len(titles):
        raise ValueError(
            "There must be one title per example, and at least one. Received inputs of "
            f"shape {inputs.shape} and {len(titles)} titles."
        )
    if inputs.dtype.kind in "OSU":
        return _draw_texts([_lines(text) for text in inputs], titles, ax)
    if not are_images(inputs):
        raise ValueError(
            "`inputs` must be texts, or pictures of shape (n, height, width, 1 or 3). "
            f"Received shape {inputs.shape} of dtype {inputs.dtype}."
        )
    if ax is None:
        ax = new_axes(examples_size(len(inputs)))
    image_grid(_as_pixels(inputs), ax=ax)
    for cell, title in zip(ax.child_axes, titles, strict=True):
        cell.set_title(_in_lines(title), fontsize=8.5, parse_math=False)
    return ax


def to_jpeg(draw: Callable[[Any], Any], figsize: tuple[float, float]) -> bytes:
    """Returns what `draw(ax)` draws as JPEG bytes: of photographs a tenth of a PNG.

    Args:
        draw: Function that takes an axes and draws on it.
        figsize: Width and height in inches.
    """
    from PIL import Image

    buffer = io.BytesIO()
    drawn = Image.open(io.BytesIO(to_png(draw, figsize))).convert("RGB")
    drawn.save(buffer, "JPEG", quality=82, optimize=True)
    return buffer.getvalue()


def are_images(inputs: np.ndarray) -> bool:
    """Tells whether an array is a batch of pictures."""
    numeric = inputs.dtype.kind in "biuf"
    return numeric and inputs.ndim == 4 and inputs.shape[-1] in (1, 3)


def examples_size(count: int) -> tuple[float, float]:
    """Returns the width and height in inches that suit `count` pictures."""
    columns = math.ceil(math.sqrt(count))
    return columns * _CELL[0], math.ceil(count / columns) * _CELL[1]


def _as_pixels(inputs: np.ndarray) -> np.ndarray:
    if inputs.dtype.kind != "f":
        return inputs
    low, high = float(inputs.min()), float(inputs.max())
    if 0 <= low and high <= 1:
        return inputs * 255
    if low < 0 and -1 <= low and high <= 1:
        return (inputs + 1) * 127.5
    if low < 0 or high > 255:
        # Normalised in a way that is not known: as light and dark as they allow.
        return (inputs - low) * (255 / (high - low))
    return inputs


def _in_lines(title: str) -> str:
    """Breaks a title into lines; what it says in brackets at its end has its own."""
    settings = {"width": _TITLE_CHARACTERS, "placeholder": "…"}
    said, bracket, rest = title.rpartition(" (")
    if len(title) <= _TITLE_CHARACTERS or not bracket:
        return "\n".join(textwrap.wrap(title, max_lines=3, **settings))
    lines = textwrap.wrap(said, max_lines=2, **settings)
    return "\n".join([*lines, *textwrap.wrap(f"({rest}", max_lines=2, **settings)])


def _lines(text: Any) -> list[str]:
    whole = " | ".join(map(str, np.atleast_1d(text)))
    lines = textwrap.wrap(whole, _CHARACTERS, max_lines=_LINES, placeholder=" …")
    return lines or [""]


def _draw_texts(
    texts: Sequence[Sequence[str]], titles: Sequence[str], ax: "Axes | None"
) -> "Axes":
    # A title, the text's lines, and an empty half line.
    heights = [1.5 + len(lines) for lines in texts]
    total = sum(heights)
    if ax is None:
        ax = new_axes((_TEXT_WIDTH, 0.2 + _LINE_HEIGHT * total))
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(total, 0)
    top = 0.0
    style = {"va": "top", "fontsize": 9, "parse_math": False}
    for lines, title, height in zip(texts, titles, heights, strict=True):
        heading = textwrap.shorten(title, _CHARACTERS, placeholder=" …")
        ax.text(0, top, heading, fontweight="bold", **style)
        ax.text(0, top + 1.1, "\n".join(lines), **style)
        top += height
    return ax
