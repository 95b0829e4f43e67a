"""Where a picture lies in what the model sees of it, once cropped, padded or stretched.

It is the arithmetic of `decoding.resize_image`, for boxes.
"""

from typing import NamedTuple

import numpy as np


class Frames(NamedTuple):
    """Where pictures lie in what the model sees.

    Attributes:
        sizes: Each one's own height and width in pixels, upright, int `(n, 2)`.
        starts: Where its upper left corner lies, y and x, as shares of the sides of
            what the model sees, float64 `(n, 2)`; below 0 where it is cropped.
        scales: How large its sides are there, as shares of the same, `(n, 2)`.
    """

    sizes: np.ndarray
    starts: np.ndarray
    scales: np.ndarray

    def seen(self, position: int, boxes: np.ndarray) -> np.ndarray:
        """Returns boxes of a picture in what the model sees.

        Args:
            position: Which picture.
            boxes: x1, y1, x2, y2 as shares of the picture's own sides, `(boxes, 4)`.
        """
        start, scale = self._axes(position)
        return boxes * scale + start

    def own(self, position: int, boxes: np.ndarray) -> np.ndarray:
        """Returns boxes of what the model sees in the picture's own pixels, cut there.

        Args:
            position: Which picture.
            boxes: x1, y1, x2, y2 as shares of what the model sees, `(boxes, 4)`.
        """
        start, scale = self._axes(position)
        size = np.tile(self.sizes[position][::-1], 2)
        return np.clip((boxes - start) / scale * size, 0, size).astype("float32")

    def _axes(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns start and scale in the order of a box's columns."""
        each = self.starts[position], self.scales[position]
        start, scale = (np.tile(values[::-1], 2) for values in each)
        return start, scale


def frames(sizes: np.ndarray, target: tuple[int, int], fit: str) -> Frames:
    """Returns where pictures lie in what the model sees of them.

    Args:
        sizes: Heights and widths in pixels, int `(n, 2)`.
        target: Height and width of what the model sees.
        fit: `"crop"`, `"pad"` or `"stretch"`, as in `image_folder`.

    Example:

    >>> frames(np.array([[100, 200]]), (50, 50), "pad").scales.tolist()
    [[0.5, 1.0]]
    """
    sizes = np.asarray(sizes, "int64").reshape(-1, 2)
    size = np.array(target, "int64")
    if fit == "stretch":
        return Frames(sizes, np.zeros(sizes.shape), np.ones(sizes.shape))
    if fit == "pad":
        scale = (size / sizes).min(axis=1, keepdims=True)
        inner = np.clip(np.round(sizes * scale).astype("int64"), 1, size)
        return Frames(sizes, (size - inner) // 2 / size, inner / size)
    fitting = np.maximum(sizes[:, ::-1] * size // size[::-1], 1)
    window = np.minimum(sizes, fitting)
    return Frames(sizes, -((sizes - window) // 2) / window, sizes / window)


def upright_sizes(headers: np.ndarray) -> np.ndarray:
    """Returns heights and widths of pictures once they stand upright, int `(n, 2)`.

    Args:
        headers: Their `HEADER` records.
    """
    sizes = np.stack([headers["height"], headers["width"]], axis=1)
    sideways = (headers["orientation"] >= 5)[:, None]
    return np.where(sideways, sizes[:, ::-1], sizes)
