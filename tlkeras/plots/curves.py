"""ROC and precision-recall curves, several classes in one picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (4.8, 4.2)
# More points than this are not told apart.
_MOST_POINTS = 500


def plot_roc(curves: Mapping[str, Any], ax: "Axes | None" = None) -> "Axes":
    """Draws ROC curves; the diagonal is what guessing gives.

    Args:
        curves: From names to `(false positive rate, true positive rate, area)`, the
            rates arrays of one length.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no curve, or one of another form.

    Example:
    >>> ax = plot_roc({"cat": ([0, 0, 1], [0, 1, 1], 1.0)})
    >>> ax.get_xlabel()
    'False positive rate'
    """
    ax = _draw(curves, ax, "area", "default")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", zorder=1)
    ax.set_xlabel("False positive rate")
    ax.set_ylabel("True positive rate")
    return ax


def plot_precision_recall(
    curves: Mapping[str, Any], ax: "Axes | None" = None
) -> "Axes":
    """Draws precision over recall.

    Args:
        curves: From names to `(recall, precision, average precision)`, the first two
            arrays of one length.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no curve, or one of another form.

    Example:
    >>> ax = plot_precision_recall({"cat": ([1, 0.5, 0], [0.5, 1, 1], 0.75)})
    >>> ax.get_ylabel()
    'Precision'
    """
    ax = _draw(curves, ax, "AP", "steps-post")
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")
    return ax


def _draw(
    curves: Mapping[str, Any], ax: "Axes | None", area: str, drawstyle: str
) -> "Axes":
    checked = {name: _check_curve(name, *curve) for name, curve in curves.items()}
    if not checked:
        raise ValueError("`curves` must hold at least one curve. Received none.")
    if ax is None:
        ax = new_axes(_SIZE)
    for i, (name, (x, y, value)) in enumerate(checked.items()):
        # Class names are text, not formulas.
        label = f"{short_label(name)} ({area} {value:.3f})".replace("$", r"\$")
        # Curves on one another show where the lower one is the wider.
        width = 3.2 - 1.8 * i / max(1, len(checked) - 1) if len(checked) > 1 else 2.0
        colour = PALETTE[i % len(PALETTE)]
        ax.plot(x, y, color=colour, linewidth=width, label=label, drawstyle=drawstyle)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ax.grid(alpha=0.3)
    place = "lower right" if area == "area" else "lower left"
    ax.legend(loc=place, fontsize=8, framealpha=0.85)
    return ax


def _check_curve(
    name: str, x: Any, y: Any, value: float
) -> tuple[np.ndarray, np.ndarray, float]:
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(
            "`curves` must hold pairs of arrays of one length, and an area. Received "
            f"shapes {x.shape} and {y.shape} for {name!r}."
        )
    kept = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int))
    return x[kept], y[kept], float(value)
