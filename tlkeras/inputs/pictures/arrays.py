"""Arrays of pixels that are read at another size, or in other colours."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.loading import plain_graph
from tlkeras.inputs.pictures.decoding import resize_image, to_color_mode


class PixelArrays(ArrayExamples):
    """Rows of an array of pixels, brought to a size and to colours as they are read.

    Args:
        inputs: Pixels `(n, height, width, channels)`.
        labels: As in `Examples`, of the chosen rows.
        rows: As in `ArrayExamples`.
        image_size: `(height, width)` in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: As in `image_folder`.
    """

    def __init__(
        self,
        inputs: np.ndarray | tf.Tensor,
        labels: np.ndarray,
        rows: np.ndarray | None = None,
        *,
        image_size: tuple[int, int],
        color_mode: str,
        fit: str,
    ):
        super().__init__(inputs, labels, rows)
        self.image_size = image_size
        self.color_mode = color_mode
        self.fit = fit

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.image_size, 3 if self.color_mode == "rgb" else 1)

    def select(self, positions: np.ndarray) -> "PixelArrays":
        return PixelArrays(
            self.inputs,
            self.labels[positions],
            self.rows[positions],
            image_size=self.image_size,
            color_mode=self.color_mode,
            fit=self.fit,
        )

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        spec = tf.TensorSpec(self.shape, tf.float32)

        def bring(pixels):
            if pixels.shape[-1] == 1:
                pixels = tf.repeat(pixels, 3, axis=-1)
            sized = resize_image(pixels, self.image_size, self.fit)
            sized = tf.ensure_shape(sized, (*self.image_size, 3))
            return to_color_mode(sized, self.color_mode)

        @plain_graph
        def bring_all(x, y):
            return tf.map_fn(bring, x, fn_output_signature=spec), y

        batches = super().in_order(positions, batch_size)
        return batches.map(bring_all, tf.data.AUTOTUNE)

    def _inputs_identity(self) -> Iterable[bytes]:
        yield f"{self.image_size} {self.color_mode} {self.fit}".encode()
        yield from super()._inputs_identity()
