"""Pictures in an export: the signature that decodes files, pictures to check it on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tlkeras.inputs.base import sides
from tlkeras.inputs.pictures.decoding import resize_image, to_color_mode


def encoded(
    label: Callable[[Any], dict[str, Any]], shape: tuple[int, int, int], fit: str
) -> tuple[Callable[[Any], dict[str, Any]], list[Any]]:
    """Returns the function of a SavedModel that takes files, and what it takes.

    Args:
        label: A function of pixels `(batch, *shape)`.
        shape: `(height, width, channels)`, channels 1 or 3.
        fit: How files of another shape come to it, as in `image_folder`.
    """
    import tensorflow as tf

    def run(image_bytes: Any) -> dict[str, Any]:
        with tf.device("cpu"):
            pixels = tf.map_fn(
                lambda contents: decode(contents, shape, fit),
                image_bytes,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )
        return label(pixels)

    return run, [tf.TensorSpec((None,), tf.string, name="image_bytes")]


def decode(contents: Any, shape: tuple[int, int, int], fit: str = "crop") -> Any:
    """Decodes the bytes of one picture, pixel for pixel as `tl.load_images` does.

    Orientation flags are not read: TensorFlow has no operation for them.

    Args:
        contents: Scalar string tensor.
        shape: `(height, width, channels)` of the result, channels 1 or 3.
        fit: As in `image_folder`.

    Returns:
        float32 pixels, 0 to 255.
    """
    import tensorflow as tf

    size = tf.constant(shape[:2])
    # What is padded needs only its longer side to be as long as the target's.
    large_enough = tf.reduce_any if fit == "pad" else tf.reduce_all

    def jpeg() -> Any:
        # The smallest eighth, quarter or half that is at least as large.
        given = tf.image.extract_jpeg_shape(contents)[:2]
        halvings = [large_enough(given >= ratio * size) for ratio in (2, 4, 8)]
        branches = [
            lambda ratio=ratio: tf.io.decode_jpeg(
                contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
            )
            for ratio in (1, 2, 4, 8)
        ]
        return tf.switch_case(tf.reduce_sum(tf.cast(halvings, tf.int32)), branches)

    def other() -> Any:
        return tf.io.decode_image(contents, channels=3, expand_animations=False)

    image = tf.cond(tf.io.is_jpeg(contents), jpeg, other)
    image = resize_image(tf.ensure_shape(image, (None, None, 3)), size, fit)
    image = tf.ensure_shape(image, (*shape[:2], 3))
    return tf.ensure_shape(
        to_color_mode(image, "grayscale" if shape[-1] == 1 else "rgb"), shape
    )


def as_png(pixels: np.ndarray) -> list[bytes]:
    """Returns whole pixels, 0 to 255, as PNG files."""
    import tensorflow as tf

    return [tf.io.encode_png(each).numpy() for each in pixels.astype("uint8")]


def rounded(pixels: np.ndarray) -> np.ndarray:
    """Returns pixels as a file of 8 bits keeps them."""
    return np.clip(np.round(pixels), 0, 255)


def waves(shape: tuple, count: int) -> np.ndarray:
    """Makes smooth pictures with some noise, 0 to 255, the same ones each time.

    Args:
        shape: `(height, width, channels)`, `None` for a side of any length.
        count: How many.
    """
    rng = np.random.default_rng(0)
    height, width, channels = sides(shape)
    y = np.linspace(0, 3, height)[:, None, None]
    x = np.linspace(0, 3, width)[:, None]
    phase = rng.uniform(0, 6, (count, 3, 1, 1, channels))
    lines = np.sin(phase[:, 0] * x + phase[:, 1] * y + phase[:, 2])
    noise = rng.normal(0, 12, (count, height, width, channels))
    return rounded(127 + 100 * lines + noise)
