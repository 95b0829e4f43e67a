"""Explanations: maps over pictures, coloured words and series, likeness of maps."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import PALETTE, new_axes, short_label
from tlkeras.plots.boxes import draw_boxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELL = 2.4
_FILL = 0.88
# Above this share of a map's values its colours do not change any more.
_BRIGHTEST = 99.5
_OPACITY = 0.72
# Of a map of single pixels, as a share of its side.
_SMOOTHING = 0.03
# Width and height in inches of one series, and steps so few that each has a dot.
_STRIP = (6.4, 1.8)
_FEW_STEPS = 50
_TEXT_WIDTH = 7.5
_FONT = 10
_LINE = 0.27


def plot_heat(
    image: np.ndarray,
    map: np.ndarray,
    ax: "Axes | None" = None,
    *,
    title: str = "",
    box: np.ndarray | None = None,
) -> "Axes":
    """Draws a map of evidence over the grey picture that it belongs to.

    Evidence for the target is orange, evidence against it blue; where there is little
    the picture is left as it is. A map of both signs is drawn smoothed: single pixels
    say little, the sum over a neighbourhood says more.

    Args:
        image: Pixels `(height, width, channels)` on any scale.
        map: `(height, width)`; at least 0, or with both signs.
        ax: Matplotlib axes. Defaults to an axes of a new figure.
        title: What stands above.
        box: Left, top, right and bottom of a box to draw, in pixels.

    Returns:
        The axes.

    Example:
    >>> ax = plot_heat(np.zeros((8, 8, 3)), np.eye(8), title="ant 0.98")
    >>> ax.get_title()
    'ant 0.98'
    """
    if ax is None:
        ax = new_axes((_CELL * 1.4, _CELL * 1.5))
    ax.imshow(_grey(image), cmap="gray", vmin=0, vmax=1)
    ax.imshow(_colours(map), interpolation="bilinear")
    ax.set_title(short_label(title, 30), fontsize=9, parse_math=False)
    ax.set_axis_off()
    return ax if box is None else draw_boxes(ax, box[None], [""], "black", "--")


def plot_heats(
    heats: Sequence[tuple],
    ax: "Axes | None" = None,
    *,
    columns: int | None = None,
) -> "Axes":
    """Draws pictures with their maps in rows.

    Args:
        heats: For each a picture, its map, a title and, if there is one, a box, as
            `plot_heat` takes them.
        ax: Matplotlib axes. Defaults to an axes of a new figure.
        columns: Pictures per row. By default as many as make the grid square.

    Returns:
        The axes; each picture has an inset axes in it (`ax.child_axes`).

    Example:
    >>> ax = plot_heats([(np.zeros((8, 8, 3)), np.eye(8), "ant")] * 3)
    >>> len(ax.child_axes)
    3
    """
    columns = columns or math.ceil(math.sqrt(len(heats)))
    rows = math.ceil(len(heats) / columns)
    if ax is None:
        ax = new_axes((columns * _CELL, rows * _CELL))
    ax.set_axis_off()
    for number, (image, map, title, *box) in enumerate(heats):
        row, column = divmod(number, columns)
        left, bottom = column / columns, 1 - (row + 1) / rows
        cell = ax.inset_axes([left, bottom, _FILL / columns, _FILL / rows])
        plot_heat(image, map, cell, title=title, box=box[0] if box else None)
    return ax


def heats_size(count: int) -> tuple[float, float]:
    """Returns the width and height in inches that suit `count` pictures."""
    columns = math.ceil(math.sqrt(count))
    return columns * _CELL, math.ceil(count / columns) * _CELL


def plot_evidence(
    rows: Sequence[tuple[np.ndarray, np.ndarray, str]],
    ax: "Axes | None" = None,
    *,
    columns: int | None = None,
) -> "Axes":
    """Draws series as lines, on a ground whose colours are the evidence at each step.

    Args:
        rows: For each its values `(steps,)`, NaN where missing, its evidence `(steps,)`
            and a title. Orange is for, blue against.
        ax: Matplotlib axes. Defaults to an axes of a new figure.
        columns: Series per row. By default one.

    Returns:
        The axes; each series has an inset axes in it (`ax.child_axes`).

    Example:
    >>> ax = plot_evidence([(np.arange(8.0), np.eye(8)[3], "ant")] * 3)
    >>> len(ax.child_axes)
    3
    """
    columns = columns or 1
    lines = math.ceil(len(rows) / columns)
    if ax is None:
        ax = new_axes(evidence_size(len(rows), columns))
    ax.set_axis_off()
    for number, (values, evidence, title) in enumerate(rows):
        row, column = divmod(number, columns)
        left, bottom = column / columns, 1 - (row + 1) / lines
        cell = ax.inset_axes([left, bottom, 0.94 / columns, 0.62 / lines])
        cell.imshow(
            _colours(np.asarray(evidence)[None]),
            aspect="auto",
            extent=(-0.5, len(values) - 0.5, 0, 1),
            transform=cell.get_xaxis_transform(),
        )
        marker = "." if len(values) < _FEW_STEPS else None
        cell.plot(values, color="black", linewidth=1, marker=marker)
        cell.set_xlim(-0.5, len(values) - 0.5)
        cell.set_title(short_label(title, 60), fontsize=9, parse_math=False)
        cell.tick_params(labelsize=7)
    return ax


def evidence_size(count: int, columns: int = 1) -> tuple[float, float]:
    """Returns the width and height in inches that suit `count` series."""
    return columns * _STRIP[0], math.ceil(count / columns) * _STRIP[1]


def plot_words(
    rows: Sequence[tuple[str, Sequence[str], np.ndarray]], ax: "Axes | None" = None
) -> "Axes":
    """Draws texts whose words are coloured by their scores.

    Words that speak for the target are orange, words against it blue.

    Args:
        rows: For each text a title, its words, and their scores.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Returns:
        The axes.

    Example:
    >>> ax = plot_words([("good 0.9", ["fine", "film"], np.array([0.8, 0.1]))])
    >>> [text.get_text() for text in ax.texts]
    ['good 0.9', 'fine', 'film']
    """
    width = _TEXT_WIDTH if ax is None else ax.get_window_extent().width / _dpi(ax)
    laid = [_lay_out(words, width) for _, words, _ in rows]
    heights = [1.7 + (max((line for line, _ in places), default=0)) for places in laid]
    total = sum(heights) + 0.4
    if ax is None:
        ax = new_axes((_TEXT_WIDTH, 0.1 + _LINE * total))
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(total, 0)
    top = 0.5
    style = {"va": "center", "fontsize": _FONT, "parse_math": False}
    for (title, words, scores), places, height in zip(rows, laid, heights, strict=True):
        ax.text(0, top, title, fontweight="bold", **style)
        largest = float(np.abs(scores).max(initial=0.0)) or 1.0
        for word, score, (line, left) in zip(words, scores, places, strict=True):
            # Never darker than black letters can be read on.
            box = {
                "facecolor": _shade(score / largest),
                "edgecolor": "none",
                "pad": 1.5,
            }
            ax.text(left, top + 1 + line, word, bbox=box, **style)
        top += 1 + height
    return ax


def plot_similarities(
    names: Sequence[str],
    lines: dict[str, np.ndarray],
    ax: "Axes | None" = None,
    *,
    threshold: float,
    title: str = "",
) -> "Axes":
    """Draws how like maps stay to themselves while weights are randomised.

    Args:
        names: What is randomised, from the first step to the last.
        lines: For each measure of likeness an array `(steps, inputs)`, that which is
            judged first.
        ax: Matplotlib axes. Defaults to an axes of a new figure.
        threshold: What the last mean of the first measure should be below.
        title: What stands above.

    Returns:
        The axes.

    Example:
    >>> lines = {"rank correlation": np.array([[0.5], [0.1]])}
    >>> ax = plot_similarities(["head", "block1"], lines, threshold=0.5)
    >>> ax.get_ylabel()
    'similarity to the map of the trained model'
    """
    if ax is None:
        ax = new_axes((max(4.6, 1.6 + 0.75 * len(names)), 3.8))
    steps = np.arange(len(names) + 1)
    for number, (name, values) in enumerate(lines.items()):
        colour = PALETTE[number % len(PALETTE)]
        values = np.concatenate([np.ones((1, values.shape[1])), values])
        mean = np.nanmean(values, axis=1)
        ax.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        ax.plot(steps, mean, "os"[number % 2] + "-", color=colour, label=name)
    ax.axhline(
        threshold,
        color="black",
        linestyle=":",
        linewidth=1,
        label=f"{next(iter(lines))}: passed below",
    )
    labels = ["trained", *(f"{'+ ' if i else ''}{n}" for i, n in enumerate(names))]
    ax.set_xticks(steps, [short_label(x, 22) for x in labels], parse_math=False)
    for label in ax.get_xticklabels():
        label.set(rotation=30, ha="right", rotation_mode="anchor", fontsize=9)
    ax.set_xlabel("weights randomised")
    ax.set_ylabel("similarity to the map of the trained model")
    ax.set_ylim(min(-0.1, float(ax.get_ylim()[0])), 1.05)
    ax.set_title(title, fontsize=10, parse_math=False)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(fontsize=8)
    return ax


def _grey(image: np.ndarray) -> np.ndarray:
    """Returns a picture in grey, 0 to 1, whatever its scale."""
    grey = np.asarray(image, "float64").mean(axis=-1)
    low, high = grey.min(), grey.max()
    if low >= 0 and high <= 255:
        return grey / (255 if high > 1 else 1)
    return (grey - low) / (high - low)


def _colours(map: np.ndarray) -> np.ndarray:
    """Returns a map as RGBA: orange for, blue against, clear where there is little."""
    from matplotlib.colors import to_rgb

    if map.min() < 0 < map.max():
        from scipy.ndimage import gaussian_filter

        map = gaussian_filter(map, _SMOOTHING * max(map.shape))
    scale = np.percentile(np.abs(map), _BRIGHTEST) or np.abs(map).max() or 1.0
    share = np.clip(np.abs(map) / scale, 0, 1)
    for_, against = to_rgb(PALETTE[1]), to_rgb(PALETTE[0])
    rgb = np.where((map >= 0)[..., None], for_, against)
    return np.concatenate([rgb, _OPACITY * share[..., None]], axis=-1)


def _shade(share: float) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    colour = np.array(to_rgb(PALETTE[1] if share >= 0 else PALETTE[0]))
    return tuple(1 - 0.75 * abs(share) * (1 - colour))


def _lay_out(words: Sequence[str], width: float) -> list[tuple[int, float]]:
    """Returns each word's line, from 0, and its left edge in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=_FONT)
    places, line, left = [], 0, 0.0
    for word in words:
        needed = text_to_path.get_text_width_height_descent(word, font, False)[0] / 72
        if left and left + needed > width:
            line, left = line + 1, 0.0
        places.append((line, left))
        left += needed + 0.1
    return places


def _dpi(ax: Any) -> float:
    return ax.get_figure(root=True).dpi
