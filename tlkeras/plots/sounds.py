"""Sounds: waves above their spectrograms."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlkeras.plots._figure import PALETTE, new_axes, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Width and height in inches of one sound, and the share of it that is drawn on.
_CELL = (2.8, 2.2)
_FILL = 0.84
# More points of a wave than that cannot be told apart.
_POINTS = 2_000


def sound_grid(
    waves: np.ndarray,
    spectrograms: np.ndarray,
    titles: Sequence[str],
    sample_rate: int,
    *,
    columns: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws sounds in rows: a title, the wave, and the spectrogram below it.

    Args:
        waves: `(n, samples)`, -1 to 1.
        spectrograms: `(n, mels, columns)`, 0 to 255, high pitches first.
        titles: One for each sound.
        sample_rate: Samples per second.
        columns: Sounds per row. By default as many as make the grid square.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The axes; each sound has two inset axes in it (`ax.child_axes`).

    Example:
    >>> ax = sound_grid(np.zeros((2, 800)), np.zeros((2, 8, 9)), ["a", "b"], 8_000)
    >>> len(ax.child_axes)
    4
    """
    columns = columns or math.ceil(math.sqrt(len(waves)))
    rows = math.ceil(len(waves) / columns)
    if ax is None:
        ax = new_axes((columns * _CELL[0], rows * _CELL[1]))
    ax.set_axis_off()
    for i, (wave, picture, title) in enumerate(
        zip(waves, spectrograms, titles, strict=True)
    ):
        row, column = divmod(i, columns)
        left, bottom = column / columns, 1 - (row + 1) / rows
        width, height = _FILL / columns, _FILL / rows
        above = ax.inset_axes([left, bottom + 0.72 * height, width, 0.28 * height])
        step = max(1, len(wave) // _POINTS)
        seconds = np.arange(len(wave)) / sample_rate
        above.plot(seconds[::step], wave[::step], linewidth=0.6, color=PALETTE[0])
        above.set_xlim(0, len(wave) / sample_rate)
        above.set_title(short_label(title), fontsize=9, parse_math=False)
        above.set_axis_off()
        below = ax.inset_axes([left, bottom, width, 0.68 * height])
        below.imshow(
            picture,
            aspect="auto",
            cmap="magma",
            vmin=0,
            vmax=255,
            extent=(0, len(wave) / sample_rate, 0, len(picture)),
        )
        below.set_yticks([])
        below.tick_params(labelsize=7)
    return ax


def sounds_size(count: int) -> tuple[float, float]:
    """Returns the width and height in inches that suit `count` sounds."""
    columns = math.ceil(math.sqrt(count))
    return columns * _CELL[0], math.ceil(count / columns) * _CELL[1]
