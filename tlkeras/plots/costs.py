"""The cost curve: what decisions cost by the threshold that they are made at."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (5.4, 3.8)
# A best threshold below this can only be seen on a logarithmic axis.
_SMALL = 0.1


def plot_cost_curve(curve: Any, ax: "Axes | None" = None) -> "Axes":
    """Draws the mean cost per example over the threshold, and where it is least.

    Lines across say what it costs to never and to always say the class: a model is of
    use where the curve is below both.

    Args:
        curve: What `Report.cost_curve` returns.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Returns:
        The axes, with a logarithmic threshold where the best one is below 0.1.

    Example:
    >>> report = tl.Report([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    >>> ax = plot_cost_curve(report.cost_curve(false_negative=5))
    >>> ax.get_ylabel()
    'Mean cost per example'
    """
    if ax is None:
        ax = new_axes(_SIZE)
    # A curve of steps: it is the same up to the next score.
    edges = np.repeat(curve.scores, 2)
    costs = np.append(curve.costs[: len(curve.scores)], curve.never)
    x = np.concatenate([[0], edges, [1]])
    ax.plot(x, np.repeat(costs, 2), color=PALETTE[0], linewidth=2)
    for name, cost, style in (
        ("never", curve.never, "--"),
        ("always", curve.always, ":"),
    ):
        label = f"{name} said, {cost:.3g}"
        ax.axhline(cost, color=GREY, linewidth=1, linestyle=style, label=label)
    label = f"least: {curve.cost:.3g}, from {curve.threshold:.2g} on"
    ax.plot(curve.threshold, curve.cost, "o", color=PALETTE[1], label=label)
    if 0 < curve.threshold < _SMALL:
        ax.set_xscale("log")
        ax.set_xlim(max(curve.scores[curve.scores > 0].min() / 2, 1e-6), 1)
    else:
        ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    said = short_label(curve.class_name)
    ax.set_xlabel(f"Threshold: {said} from this probability on", parse_math=False)
    ax.set_ylabel("Mean cost per example")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, framealpha=0.85)
    return ax
