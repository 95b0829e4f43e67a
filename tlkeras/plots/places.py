"""Examples as points: where those lie that were chosen of many."""

from typing import TYPE_CHECKING

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_places(
    places: np.ndarray,
    chosen: np.ndarray,
    shade: np.ndarray | None = None,
    ax: "Axes | None" = None,
    *,
    label: str = "chosen",
    shade_label: str = "",
) -> "Axes":
    """Draws examples as points, and a ring around those that were chosen.

    Args:
        places: Array of shape `(n, 2)`.
        chosen: Which of them were chosen, int `(k,)`.
        shade: A number for each, drawn as its colour; `None`: all are grey.
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.
        label: What the chosen ones are.
        shade_label: What `shade` is.

    Returns:
        The axes.

    Example:
    >>> ax = plot_places(np.eye(2), np.array([1]))
    >>> len(ax.collections)
    2
    """
    if ax is None:
        ax = new_axes((5.2, 4.2))
    colours = {"color": GREY} if shade is None else {"c": shade, "cmap": "viridis"}
    points = ax.scatter(*places.T, s=8, alpha=0.6, linewidths=0, **colours)
    rings = {"facecolors": "none", "edgecolors": PALETTE[1]}
    ax.scatter(*places[chosen].T, s=60, label=label, **rings)
    if shade is not None:
        ax.figure.colorbar(points, ax=ax, label=shade_label)
    ax.set_xlabel("first principal component of the features")
    ax.set_ylabel("second")
    ax.legend(loc="best")
    return ax
