"""Bars that compare variants over repeated runs: median and every single run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlkeras.plots._figure import (
    PALETTE,
    new_axes,
    short_label,
    size_in_inches,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_FONT = 10.0


def plot_bars(
    table: Mapping[str, Sequence[float]],
    ax: "Axes | None" = None,
    *,
    ylabel: str = "accuracy",
) -> "Axes":
    """Draws one bar per variant at the median of its runs, and a dot for each run.

    The dots show what a mean with an error bar would hide: how many runs there
    were, and whether the variants overlap.

    Args:
        table: Mapping of variant name to its values, one per run (seed).
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.
        ylabel: What the values are. Defaults to `"accuracy"`.

    Returns:
        The axes.

    Raises:
        ValueError: If `table` is empty or a variant has no finite values.

    Example:
    >>> ax = plot_bars({"from scratch": [0.61, 0.66], "fine-tuned": [0.92, 0.95]})
    >>> [text.get_text() for text in ax.texts]
    ['0.635', '0.935']
    """
    runs = _check_table(table)
    if ax is None:
        ax = new_axes((max(4.0, 1.0 + 1.3 * len(runs)), 3.8))
    medians = [float(np.median(values)) for values in runs.values()]
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(runs))]
    ax.bar(range(len(runs)), medians, width=0.6, color=colours, alpha=0.45)
    for position, values in enumerate(runs.values()):
        _draw_runs(ax, position, values, colours[position])
        _write_median(ax, position, values, medians[position])
    _write_names(ax, [short_label(name) for name in runs])
    ax.set_ylabel(ylabel)
    ax.margins(y=0.1)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    return ax


def _check_table(table: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    runs = {
        str(name): np.asarray(values, "float64").ravel()
        for name, values in table.items()
    }
    unusable = [n for n, v in runs.items() if not v.size or not np.isfinite(v).all()]
    if unusable or not runs:
        raise ValueError(
            "`table` must map at least one name to finite values, one per run. "
            f"Received {len(runs)} names, of which {unusable} have no values or "
            "values that are not finite."
        )
    return runs


def _draw_runs(ax: "Axes", position: int, values: np.ndarray, colour: str) -> None:
    spread = min(0.2, 0.04 * (len(values) - 1))
    offsets = np.linspace(-spread, spread, len(values)) if len(values) > 1 else [0.0]
    ax.scatter(
        position + np.asarray(offsets),
        values,
        s=26,
        color=colour,
        edgecolors="white",
        linewidths=0.8,
        zorder=3,
    )


def _write_median(ax: "Axes", position: int, values: np.ndarray, median: float) -> None:
    ax.annotate(
        f"{median:.3g}",
        (position, max(values.max(), median)),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontweight="bold",
    )


def _write_names(ax: "Axes", labels: list[str]) -> None:
    room = size_in_inches(ax)[0] / len(labels)
    fits = all(text_width(label, _NAME_FONT) < room for label in labels)
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(
        range(len(labels)), labels, parse_math=False, **({} if fits else turned)
    )


def plot_signed_bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], ax: "Axes | None" = None
) -> "Axes":
    """Draws signed scores as bars to the left and to the right, the strongest on top.

    Args:
        rows: Titles, and names with scores for each.
        ax: Matplotlib axes to draw on; of several titles all are below one another.

    Returns:
        The axes.
    """
    lines = [
        line
        for title, scores in rows
        for line in [(title, None), *((name, score) for name, score in scores)]
    ]
    if ax is None:
        ax = new_axes((6.0, 0.8 + 0.3 * len(lines)))
    for place, (_, score) in enumerate(lines):
        if score is not None:
            ax.barh(place, score, color=PALETTE[0 if score >= 0 else 1])
    ax.axvline(0, color="0.5", linewidth=0.8)
    ax.set_yticks(range(len(lines)), [short_label(name) for name, _ in lines])
    for label, (_, score) in zip(ax.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if score is None else "normal")
    ax.invert_yaxis()
    ax.set_xlabel("for the target (right), against it (left)")
    return ax
