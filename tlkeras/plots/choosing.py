"""Choices: quality over cost with the Pareto front, trials of a search, importances."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlkeras.plots._figure import GREY, PALETTE, new_axes, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_FONT = 8.0


def pareto_front(costs: Sequence[float], qualities: Sequence[float]) -> list[int]:
    """Returns which points no other is better than: neither cheaper nor better.

    Args:
        costs: The lower the better.
        qualities: The higher the better.

    Returns:
        Their positions, the cheapest first. Of equal points the first one.

    Example:
    >>> pareto_front([1, 2, 3, 4], [0.5, 0.4, 0.9, 0.9])
    [0, 2]
    """
    order = np.lexsort((-np.asarray(qualities, float), np.asarray(costs, float)))
    found: list[int] = []
    for position in order.tolist():
        if not found or qualities[position] > qualities[found[-1]]:
            found.append(position)
    return found


def plot_pareto(
    costs: Mapping[str, float],
    qualities: Mapping[str, float],
    ax: "Axes | None" = None,
    *,
    xlabel: str = "cost",
    ylabel: str = "quality",
) -> "Axes":
    """Draws quality over cost, a point for each name, and the Pareto front.

    Args:
        costs: From each name to its cost, above 0.
        qualities: From the same names to what is to be high.
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.
        xlabel: What the costs are.
        ylabel: What the qualities are.

    Returns:
        The axes.

    Example:
    >>> ax = plot_pareto({"a": 1.0, "b": 9.0}, {"a": 0.5, "b": 0.9})
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b']
    """
    names = list(costs)
    x, y = [costs[name] for name in names], [qualities[name] for name in names]
    front = pareto_front(x, y)
    ax = new_axes((6.4, 4.2)) if ax is None else ax
    rest = [i for i in range(len(names)) if i not in front]
    ax.plot([x[i] for i in rest], [y[i] for i in rest], "o", color=GREY, alpha=0.6)
    ax.plot(
        [x[i] for i in front],
        [y[i] for i in front],
        "o-",
        color=PALETTE[0],
        label="Pareto front: none is cheaper and better",
    )
    for i, name in enumerate(names):
        ax.annotate(
            short_label(name),
            (x[i], y[i]),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=_NAME_FONT,
            color=PALETTE[0] if i in front else GREY,
            parse_math=False,
        )
    if min(x) > 0:
        ax.set_xscale("log")
    ax.margins(x=0.15, y=0.12)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, loc="lower right")
    return ax


def plot_trials(
    values: Sequence[float],
    best: Sequence[float],
    ax: "Axes | None" = None,
    *,
    ylabel: str = "value",
    pruned: Sequence[bool] = (),
) -> "Axes":
    """Draws what each trial of a search reached, and the best so far.

    Args:
        values: One for each trial; NaN where there is none.
        best: The best up to each trial; NaN where there is none.
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.
        ylabel: What the values are.
        pruned: Which trials were stopped early; empty for none.

    Returns:
        The axes.

    Example:
    >>> ax = plot_trials([0.5, 0.7], [0.5, 0.5], ylabel="val_loss")
    >>> ax.get_ylabel()
    'val_loss'
    """
    ax = new_axes((6.4, 3.8)) if ax is None else ax
    numbers, values = np.arange(1, len(values) + 1), np.asarray(values, float)
    stopped = np.asarray(pruned, bool) if len(pruned) else np.zeros(len(values), bool)
    ax.plot(numbers[~stopped], values[~stopped], "o", color=GREY, label="trial")
    if stopped.any():
        ax.plot(numbers[stopped], values[stopped], "x", color=GREY, label="pruned")
    ax.step(numbers, best, where="post", color=PALETTE[0], label="best so far")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("trial")
    ax.set_ylabel(ylabel)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def plot_importances(
    importances: Mapping[str, float],
    ax: "Axes | None" = None,
    *,
    errors: Mapping[str, float] | None = None,
) -> "Axes":
    """Draws how important settings or columns are, the most important on top.

    Args:
        importances: From each name to its importance, such as a share from 0 to 1.
        ax: Matplotlib axes to draw on. Defaults to an axes of a new figure.
        errors: From each name to the deviation of its importance.

    Returns:
        The axes.

    Example:
    >>> ax = plot_importances({"epochs": 0.3, "learning_rate": 0.7})
    >>> [round(float(bar.get_width()), 1) for bar in ax.patches]
    [0.3, 0.7]
    """
    shares = sorted(importances.items(), key=lambda pair: pair[1])
    if ax is None:
        ax = new_axes((6.0, 1.2 + 0.35 * len(shares)))
    style = {"color": GREY, "ecolor": PALETTE[1], "capsize": 2}
    if errors is not None:
        style["xerr"] = [errors[name] for name, _ in shares]
    ax.barh(range(len(shares)), [share for _, share in shares], **style)
    names = [short_label(name) for name, _ in shares]
    ax.set_yticks(range(len(shares)), names, parse_math=False)
    ax.set_xlabel("importance")
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    return ax
