"""`Detections`: the boxes that are found in one picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes that a model finds in one picture, the surest first.

    Attributes:
        boxes: float32 `(boxes, 4)`: left, top, right and bottom in the picture's own
            pixels (`"xyxy"`; `keras.utils.bounding_boxes.convert_format` knows others).
        labels: Each one's class, a tuple of `str`.
        scores: Each one's score, float32 `(boxes,)`, 0 to 1.
        size: Height and width of the picture in pixels.

    Example:

    >>> found = Detections(np.array([[2.0, 3.0, 8.0, 9.0]]), ("sign",),
    ...                    np.array([0.9]), (10, 10))
    >>> print(found)
    sign 0.90 at 2, 3 to 8, 9
    """

    boxes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.boxes)

    def __str__(self) -> str:
        return "\n".join(self.lines()) or "nothing found"

    def lines(self) -> list[str]:
        """Returns a line of text for each box."""
        return [
            f"{label} {score:.2f} at {x1:.0f}, {y1:.0f} to {x2:.0f}, {y2:.0f}"
            for label, score, (x1, y1, x2, y2) in zip(
                self.labels, self.scores, self.boxes, strict=True
            )
        ]

    def plot(self, picture: Any, ax: Any = None) -> Any:
        """Draws the boxes on the picture.

        Args:
            picture: A path, or pixels `(height, width, channels)`, 0 to 255, of the
                size that the boxes are of.
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: If the picture has another size.

        Example:

        >>> found = Detections(np.array([[2.0, 3.0, 8.0, 9.0]]), ("sign",),
        ...                    np.array([0.9]), (10, 10))
        >>> ax = found.plot(np.zeros((10, 10, 3)))
        """
        from tlkeras.plots.boxes import draw_boxes, draw_picture

        ax = draw_picture(picture, self.size, ax)
        titles = [
            f"{label} {score:.2f}"
            for label, score in zip(self.labels, self.scores, strict=True)
        ]
        return draw_boxes(ax, self.boxes, titles)
