"""Residuals of a regression against its predictions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_COLOURS = len(PALETTE)


def plot_residuals(y_true: Any, y_pred: Any, ax: "Axes | None" = None) -> "Axes":
    """Draws residuals (true minus predicted) over predicted values.

    A cloud that lies evenly about the zero line speaks for the model; a slope, a
    bend or a funnel shows what it has not learnt.

    Args:
        y_true: True values, array-like of shape `(n,)` or `(n, targets)`.
        y_pred: Predicted values, of the same shape.
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the shapes differ or there are no values.

    Example:
    >>> ax = plot_residuals([1.0, 2.0, 3.0], [1.1, 1.8, 3.0])
    >>> ax.get_ylabel()
    'Residual (true - predicted)'
    """
    y_true, y_pred = _check_values(y_true, y_pred)
    if ax is None:
        ax = new_axes((5.2, 4.0))
    for target in range(y_true.shape[1]):
        ax.scatter(
            y_pred[:, target],
            y_true[:, target] - y_pred[:, target],
            s=14,
            # A few points stay solid; thousands show where they are dense.
            alpha=float(np.clip(40 / np.sqrt(len(y_pred)), 0.15, 0.8)),
            color=PALETTE[target % _MOST_COLOURS],
            linewidths=0,
            label=f"target {target}",
            rasterized=len(y_pred) > 2000,
        )
    if 1 < y_true.shape[1] <= _MOST_COLOURS:
        for handle in ax.legend(frameon=False).legend_handles:
            handle.set_alpha(1)
    ax.axhline(0, color=GREY, linewidth=1, linestyle="--")
    ax.set_xlabel("Predicted")
    ax.set_ylabel("Residual (true - predicted)")
    ax.grid(alpha=0.3)
    return ax


def _check_values(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    y_true, y_pred = np.asarray(y_true, "float64"), np.asarray(y_pred, "float64")
    if y_true.shape != y_pred.shape or y_true.ndim not in (1, 2) or not y_true.size:
        raise ValueError(
            "`y_true` and `y_pred` must have one shape, (n,) or (n, targets), with "
            f"at least one value. Received shapes {y_true.shape} and {y_pred.shape}."
        )
    return y_true.reshape(len(y_true), -1), y_pred.reshape(len(y_pred), -1)
