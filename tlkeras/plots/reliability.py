"""The reliability diagram: confidence against what it is worth."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (4.8, 4.2)


def plot_reliability(
    edges: Any,
    confidence: Any,
    accuracy: Any,
    count: Any,
    ece: float,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws how often predictions of each confidence come true.

    Bars below the diagonal say that the model is too confident, bars above that it is
    not confident enough. The dots lie at the mean confidence of each bin and are the
    larger the more predictions it has; the shaded bars below show how many those are.

    Args:
        edges: Edges of the bins, of shape `(bins + 1,)`.
        confidence: Mean confidence of each bin, NaN where it is empty.
        accuracy: Share that came true in each bin, NaN where it is empty.
        count: Number of predictions in each bin.
        ece: Expected calibration error.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the arrays do not fit each other.

    Example:
    >>> ax = plot_reliability([0, 0.5, 1], [0.4, 0.9], [0.5, 0.8], [2, 10], 0.1)
    >>> ax.get_title()
    'Expected calibration error 0.100'

    Reference:
        Guo et al., On Calibration of Modern Neural Networks (2017), figure 1.
    """
    edges, count = np.asarray(edges, "float64"), np.asarray(count)
    confidence = np.asarray(confidence, "float64")
    accuracy = np.asarray(accuracy, "float64")
    bins = (len(edges) - 1,)
    if not confidence.shape == accuracy.shape == count.shape == bins or not count.any():
        raise ValueError(
            "`confidence`, `accuracy` and `count` must have one value per bin, one "
            "less than `edges`, and some predictions. Received shapes "
            f"{confidence.shape}, {accuracy.shape}, {count.shape} and {edges.shape}."
        )
    if ax is None:
        ax = new_axes(_SIZE)
    full = count > 0
    widths, shares = np.diff(edges), count / count.sum()
    style = {"align": "edge", "linewidth": 0.8, "edgecolor": "white"}
    ax.bar(
        edges[:-1][full],
        accuracy[full],
        widths[full],
        color=PALETTE[0],
        alpha=0.45,
        label="observed share",
        **style,
    )
    ax.bar(
        edges[:-1],
        shares,
        widths,
        color=GREY,
        alpha=0.55,
        label="share of all",
        **style,
    )
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    ax.scatter(
        confidence[full],
        accuracy[full],
        s=16 + 90 * shares[full],
        color=PALETTE[1],
        edgecolors="white",
        linewidths=0.8,
        zorder=3,
    )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel("Confidence")
    ax.set_ylabel("Observed share")
    ax.set_title(f"Expected calibration error {ece:.3f}", fontsize=10)
    ax.legend(loc="best", fontsize=8, framealpha=0.85)
    return ax
