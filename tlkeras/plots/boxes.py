"""Boxes on pictures."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.plots._figure import PALETTE, new_axes, short_label

_INCHES = 6.0


def draw_boxes(
    ax: Any,
    boxes: np.ndarray,
    titles: Sequence[str],
    color: str | None = None,
    style: str = "-",
) -> Any:
    """Draws boxes on axes that show a picture; returns the axes.

    Args:
        ax: Matplotlib axes.
        boxes: Left, top, right and bottom in pixels, `(boxes, 4)`.
        titles: One for each.
        color: Of all of them. Defaults to one for each title's first word.
        style: Of the lines, as Matplotlib has them.

    Example:
    >>> ax = draw_boxes(new_axes((2, 2)), np.array([[1.0, 1.0, 3.0, 4.0]]), ["sign"])
    >>> len(ax.patches)
    1
    """
    from matplotlib.patches import Rectangle

    kinds = list(dict.fromkeys(title.split(" ")[0] for title in titles))
    for (x1, y1, x2, y2), title in zip(boxes, titles, strict=True):
        its_color = color or PALETTE[kinds.index(title.split(" ")[0]) % len(PALETTE)]
        # Pixels are drawn around their numbers.
        corner, sides = (x1 - 0.5, y1 - 0.5), (x2 - x1, y2 - y1)
        ax.add_patch(
            Rectangle(corner, *sides, fill=False, edgecolor=its_color, linestyle=style)
        )
        text = short_label(title)
        if text:
            ax.text(
                *corner,
                text,
                fontsize=7,
                color="white",
                verticalalignment="bottom",
                clip_on=True,
                bbox={"facecolor": its_color, "pad": 0.8, "linewidth": 0},
            )
    return ax


def draw_picture(picture: Any, size: tuple[int, int], ax: Any = None) -> Any:
    """Draws a picture of a size on axes without ticks; returns these.

    Args:
        picture: A path, or pixels `(height, width, channels)`, 0 to 255.
        size: Height and width that it must have.
        ax: Matplotlib axes. Defaults to an axes of a new figure.

    Raises:
        ValueError: If it has another size.

    Example:
    >>> ax = draw_picture(np.zeros((2, 3, 3)), (2, 3))
    """
    if isinstance(picture, str | os.PathLike):
        import PIL.Image
        import PIL.ImageOps

        with PIL.Image.open(picture) as image:
            picture = PIL.ImageOps.exif_transpose(image).convert("RGB")
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[:2] != tuple(size):
        raise ValueError(
            f"The boxes are of a picture of {size[0]} x {size[1]} pixels. Received "
            f"pixels of shape {pixels.shape}."
        )
    if ax is None:
        ax = new_axes((_INCHES, _INCHES * size[0] / size[1]))
    pixels = np.clip(pixels, 0, 255).astype("uint8")
    ax.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray")
    ax.set_axis_off()
    return ax
