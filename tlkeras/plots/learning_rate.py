"""The curve of a learning rate range test: loss over a rising learning rate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How far above the smoothed curve's own height the axes reach, so that the losses of a
# diverged end do not press it flat.
_HEADROOM = 0.25


def plot_learning_rates(
    learning_rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    ax: "Axes | None" = None,
    *,
    marks: Mapping[str, float] | None = None,
) -> Any:
    """Draws losses over learning rates on a logarithmic axis.

    Args:
        learning_rates: One for each step, rising, above 0.
        losses: Each step's loss.
        smoothed: The same, smoothed.
        ax: A matplotlib axes. Defaults to that of a new figure.
        marks: From a name to a learning rate that is marked on the smoothed curve.

    Returns:
        The axes.

    Raises:
        ValueError: If the three are not as long, or a rate is not above 0.

    Example:
    >>> rates, losses = [1e-3, 1e-2, 1e-1], [1.2, 0.7, 0.9]
    >>> ax = plot_learning_rates(rates, losses, losses, marks={"valley": 1e-2})
    >>> ax.get_xscale()
    'log'
    """
    rates, raw, smooth = (
        np.asarray(x, float) for x in (learning_rates, losses, smoothed)
    )
    if not len(rates) == len(raw) == len(smooth) or not np.all(rates > 0):
        raise ValueError(
            "A loss and a smoothed loss belong to each learning rate, which is above "
            f"0. Received: {len(rates)} rates from {rates.min(initial=np.inf)}, "
            f"{len(raw)} losses, {len(smooth)} smoothed losses."
        )
    ax = new_axes((6.0, 3.8)) if ax is None else ax
    ax.plot(rates, raw, ".", color=GREY, alpha=0.4, label="each step")
    ax.plot(rates, smooth, color=PALETTE[0], label="smoothed")
    for (name, rate), colour in zip((marks or {}).items(), PALETTE[1:], strict=False):
        at = np.interp(np.log(rate), np.log(rates), smooth)
        ax.plot([rate], [at], "o", color=colour, label=f"{name}: {rate:.2g}")
    low, high = min(raw.min(), smooth.min()), smooth.max()
    room = _HEADROOM * ((high - low) or 1.0)
    ax.set_ylim(low - room / 2, high + room)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax
