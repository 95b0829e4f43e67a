"""Training curves: loss and a metric over epochs, with the phases marked."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras._validation import check_int, unknown_name
from tlkeras.plots._figure import (
    GREY,
    PALETTE,
    new_axes,
    short_label,
    size_in_inches,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PHASE_FONT = 9.0


def plot_history(
    history: Any,
    ax: "Sequence[Axes] | None" = None,
    *,
    phases: Sequence[tuple[str, int]] = (),
    metric: str | None = None,
) -> np.ndarray:
    """Draws the loss and one metric of a training run, epoch by epoch.

    Training values are solid lines, validation values dashed ones; a vertical
    line with a label opens each phase. Epochs count from 1.

    Args:
        history: Mapping of metric name to a list with one value per epoch, as in
            `keras.callbacks.History.history`, or an object with such a `.history`.
            It needs `"loss"`; validation values carry the prefix `"val_"`.
        ax: Two matplotlib axes (one if there is no metric besides the loss).
            Defaults to axes of a new figure.
        phases: `(name, first_epoch)` pairs in order, the first epoch being 1.
            Defaults to no phases.
        metric: Name of the metric to draw beside the loss. Defaults to the first
            of `history` that is neither a loss nor a learning rate.

    Returns:
        Array of the axes drawn on, of shape `(2,)`, or `(1,)` without a metric.

    Raises:
        ValueError: If `history` has no loss or lists of different lengths, if
            `metric` is not in it, or if `phases` or `ax` do not fit.

    Example:
    >>> history = {"loss": [1.2, 0.7, 0.4], "accuracy": [0.4, 0.7, 0.9]}
    >>> axes = plot_history(history, phases=[("head", 1), ("fine-tune", 3)])
    >>> [axis.get_ylabel() for axis in axes]
    ['loss', 'accuracy']
    """
    values = _check_history(getattr(history, "history", history))
    drawn = ["loss", *_chosen_metric(values, metric)]
    epochs = len(values["loss"])
    phases = _check_phases(phases, epochs)
    axes = _axes_for(drawn, ax)
    for axis, name in zip(axes, drawn, strict=True):
        _draw_curves(axis, name, values)
        _mark_phases(axis, phases, epochs)
    return axes


def _check_history(history: Any) -> dict[str, list[float]]:
    if not isinstance(history, Mapping) or "loss" not in history:
        names = sorted(history) if isinstance(history, Mapping) else type(history)
        raise ValueError(
            "`history` must map metric names to lists and hold 'loss', as "
            f"`keras.callbacks.History.history` does. Received: {names}."
        )
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) != 1 or not lengths["loss"]:
        raise ValueError(
            "`history` must hold one value per epoch for every metric. Received "
            f"lists of lengths {lengths}. Fill epochs without validation with NaN."
        )
    return {name: list(map(float, values)) for name, values in history.items()}


def _chosen_metric(values: Mapping[str, Any], metric: str | None) -> list[str]:
    candidates = [
        name
        for name in values
        if not name.startswith("val_")
        and not name.endswith("loss")
        and name != "learning_rate"
    ]
    if metric is None:
        return candidates[:1]
    if metric not in candidates:
        raise unknown_name("metric", metric, candidates)
    return [metric]


def _check_phases(
    phases: Sequence[tuple[str, int]], epochs: int
) -> list[tuple[str, int]]:
    checked = [(str(name), check_int("first_epoch", at, 1)) for name, at in phases]
    starts = [first for _, first in checked]
    if starts != sorted(set(starts)) or any(first > epochs for first in starts):
        raise ValueError(
            "`phases` must be (name, first_epoch) pairs in rising order, within the "
            f"{epochs} epochs of `history`. Received: phases={phases!r}."
        )
    return checked


def _axes_for(drawn: list[str], ax: "Sequence[Axes] | None") -> np.ndarray:
    if ax is None:
        ax = new_axes((5.2 * len(drawn), 3.8), columns=len(drawn))
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != len(drawn):
        raise ValueError(
            f"`ax` must hold {len(drawn)} axes, one for each of {drawn}. "
            f"Received {len(axes)}."
        )
    return axes


def _draw_curves(axis: "Axes", name: str, values: Mapping[str, list[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = np.arange(1, len(values[name]) + 1)
    marker = "o" if len(epochs) <= 30 else None
    style = {"marker": marker, "markersize": 4}
    axis.plot(epochs, values[name], color=PALETTE[0], label="training", **style)
    if f"val_{name}" in values:
        validation = values[f"val_{name}"]
        style.update(color=PALETTE[1], linestyle="--")
        axis.plot(epochs, validation, label="validation", **style)
        axis.legend(frameon=False)
    axis.set_xlim(0.5, len(epochs) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("epoch")
    axis.set_ylabel(name)
    axis.grid(alpha=0.3)


def _mark_phases(axis: "Axes", phases: list[tuple[str, int]], epochs: int) -> None:
    """Draws a line where each phase but the first opens, and names above the axes."""
    if not phases:
        return
    starts = [first - 0.5 for _, first in phases]
    labels = [short_label(name, 20) for name, _ in phases]
    inches_per_epoch = size_in_inches(axis)[0] / epochs
    lengths = np.diff([*starts, epochs + 0.5]) * inches_per_epoch
    fits = all(
        text_width(label, _PHASE_FONT) < 0.95 * length
        for label, length in zip(labels, lengths, strict=True)
    )
    for start, label in zip(starts, labels, strict=True):
        if start > 0.5:
            axis.axvline(start, color=GREY, linewidth=1, linestyle=":")
        axis.text(
            start,
            1.02,
            label,
            transform=axis.get_xaxis_transform(),
            fontsize=_PHASE_FONT,
            color=GREY,
            parse_math=False,
            rotation=0 if fits else 45,
            rotation_mode="anchor",
        )
