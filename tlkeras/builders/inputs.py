"""From what users pass to what a model's graph takes: pixels, tokens."""

from pathlib import Path
from typing import Any

import numpy as np

from tlkeras.features.tokens import tokenize, trim
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.pictures.decoding import load_images, resize_image


def holds_texts(x: Any) -> bool:
    """Whether `x` is an array or a list of texts, or of pairs of texts."""
    if isinstance(x, dict) or hasattr(x, "element_spec"):
        return False
    dtype = getattr(x, "dtype", None)
    if dtype is not None and not isinstance(x, np.ndarray):
        return getattr(dtype, "name", dtype) == "string"
    array = np.asarray(x)
    if array.dtype.kind in "US":
        return True
    return array.dtype == object and isinstance(next(iter(array.flat), None), str)


def to_tokens(x: Any, preprocessor: Any) -> Any:
    """Returns texts, or a dataset of texts, as tokens; everything else as it is.

    Args:
        x: Inputs, or a `tf.data.Dataset` of inputs or of `(inputs, ...)`.
        preprocessor: A `TextPreprocessor`.
    """
    spec = getattr(x, "element_spec", None)
    if spec is None:
        return trim(preprocessor(x)) if x is not None and holds_texts(x) else x
    first = spec[0] if isinstance(spec, tuple) else spec
    if getattr(first, "dtype", None) != "string":
        return x
    import tensorflow as tf

    def tokens(texts, *rest):
        found = trim(preprocessor(texts))
        return (found, *rest) if rest else found

    return x.map(tokens, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def by_length(texts: Any, preprocessor: Any, batch_size: int) -> tuple[Any, np.ndarray]:
    """Returns batches of tokens, short texts first, and each row's place in `texts`."""
    import tensorflow as tf

    texts = np.asarray(texts, dtype=object)
    examples = ArrayExamples(texts, np.zeros(len(texts), "int32"))
    tokens, order, _ = tokenize(examples, preprocessor)
    positions = tf.data.Dataset.range(len(tokens))
    batches = tokens.in_order(positions, batch_size).map(lambda x, _: x)
    return batches.prefetch(tf.data.AUTOTUNE), order


def to_pixels(inputs: Any, input_shape: tuple) -> np.ndarray:
    """Turns paths or arrays into a batch of the size that the model takes."""
    height, width, channels = input_shape[1:]
    if isinstance(inputs, (str, Path)):
        inputs = [inputs]
    if isinstance(inputs, (list, tuple)) and all(
        isinstance(item, (str, Path)) for item in inputs
    ):
        mode = "grayscale" if channels == 1 else "rgb"
        return load_images(inputs, image_size=(height, width), color_mode=mode)
    takes = (
        f"classify() takes paths, or raw pixels of shape (height, width, {channels}) "
        f"or (n, height, width, {channels})."
    )
    try:
        pixels = np.asarray(inputs)
    except ValueError as error:
        raise ValueError(
            f"{takes} Received a list of unlike things: classify them one by one."
        ) from error
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4 or pixels.dtype == object or pixels.shape[-1] != channels:
        raise ValueError(
            f"{takes} Received an array of shape {pixels.shape} and dtype "
            f"{pixels.dtype}."
        )
    pixels = pixels.astype("float32")
    if not np.isfinite(pixels).all():
        raise ValueError("The pixels to classify hold NaN or infinity.")
    if height is None or pixels.shape[1:3] == (height, width):
        return pixels
    return np.stack([resize_image(image, (height, width)) for image in pixels])
