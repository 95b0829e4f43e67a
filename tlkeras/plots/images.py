"""Grids of images with a title each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.plots._figure import new_axes, short_label

# The side of one image in inches, and the share of a cell that an image takes.
_CELL_INCHES = 2.2
_FILL = 0.86


def image_grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    ax: Any = None,
) -> Any:
    """Draws images in rows, each below its title.

    Args:
        images: Pixels 0 to 255, `(n, height, width, channels)` with 1 or 3
            channels; floats are rounded down.
        titles: One title per image; none by default.
        columns: Images per row. By default as many as make the grid square.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The axes; each image has an inset axes in it (`ax.child_axes`).

    Raises:
        ValueError: If there is no image, or not one title per image.

    Example:
    >>> ax = image_grid(np.zeros((4, 8, 8, 3)), ["a", "b", "c", "d"])
    >>> len(ax.child_axes)
    4
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images) or images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must have shape (n, height, width, 1 or 3) with n at least 1. "
            f"Received: shape {images.shape}."
        )
    titles = [""] * len(images) if titles is None else list(titles)
    if len(titles) != len(images):
        raise ValueError(
            "There must be one title per image. Received: "
            f"{len(images)} images, {len(titles)} titles."
        )
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    if ax is None:
        ax = new_axes((columns * _CELL_INCHES, rows * _CELL_INCHES))
    ax.set_axis_off()
    pixels = np.clip(images, 0, 255).astype(np.uint8)
    for i, (image, title) in enumerate(zip(pixels, titles, strict=True)):
        row, column = divmod(i, columns)
        left, bottom = column / columns, 1 - (row + 1) / rows
        cell = ax.inset_axes([left, bottom, _FILL / columns, _FILL / rows])
        cell.imshow(
            image.squeeze(-1) if image.shape[-1] == 1 else image,
            cmap="gray",
            vmin=0,
            vmax=255,
        )
        cell.set_title(short_label(title), fontsize=9)
        cell.set_axis_off()
    return ax
