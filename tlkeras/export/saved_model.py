"""SavedModel: signatures for TensorFlow Serving, labels and tokenizer included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras.export.interface import (
    described,
    input_shapes,
    label_files,
    labelled,
    labelled_function,
    named_outputs,
    raw_function,
    tensor_specs,
)
from tlkeras.export.samples import Samples
from tlkeras.inputs.pictures.decoding import resize_image, to_color_mode
from tlkeras.inputs.texts.tokens import trim

Outputs = dict[str, np.ndarray]


def write(model: keras.Model, path: Path, pairs: bool) -> None:
    """Writes a SavedModel with its signatures.

    Args:
        model: A functional `keras.Model`.
        path: The folder to make.
        pairs: Whether the texts that come are pairs.
    """
    archive = keras.export.ExportArchive()
    preprocessor = getattr(model, "preprocessor", None)
    specs = tensor_specs(model, input_shapes(model, None))
    if preprocessor is not None:
        archive.track(preprocessor)
        archive.add_endpoint(
            "serving_default", _texts_function(model), [_text_spec(pairs)]
        )
        archive.add_endpoint("tokens", labelled_function(model), specs)
    else:
        archive.add_endpoint("serving_default", labelled_function(model), specs)
    if takes_pictures(model):
        archive.add_endpoint("encoded", _encoded_function(model), [_bytes_spec()])
    # The name that `keras.layers.TFSMLayer` expects, with the outputs Keras gives.
    archive.add_endpoint("serve", raw_function(model), specs)
    archive.write_out(str(path), verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in label_files(model).items():
        (extra / name).write_text(text, encoding="utf-8")


def inputs_of(model: keras.Model, pairs: bool) -> dict[str, str]:
    """Returns the inputs of the signature `serving_default`, as text."""
    if getattr(model, "preprocessor", None) is not None:
        return described([_text_spec(pairs)])
    return described(tensor_specs(model, input_shapes(model, None)))


def notes(model: keras.Model) -> tuple[str, ...]:
    """Returns what whoever loads the SavedModel has to know."""
    found = []
    if getattr(model, "preprocessor", None) is not None:
        found.append(
            "`import tensorflow_text` before tf.saved_model.load: the tokenizer inside "
            "is made of its operations"
        )
    if takes_pictures(model):
        found.append("signature 'encoded' takes the bytes of JPEG, PNG, GIF, BMP files")
    return tuple(found)


def run(model: keras.Model, path: Path, inputs: Samples) -> tuple[Outputs, Outputs]:
    """Loads the SavedModel and runs the inputs through its signatures.

    Returns:
        Outputs by the names that the model has for them, of `serving_default`; and of
        `encoded` where there is one (`{}` otherwise), on the pictures rounded.
    """
    import tensorflow as tf

    with tf.device("cpu"):
        loaded = tf.saved_model.load(str(path))
        if inputs.texts is not None:
            given = {"text": tf.constant(inputs.texts)}
        else:
            given = {n: tf.constant(rows) for n, rows in inputs.arrays.items()}
        default = "tokens" if _only_tokens(model, inputs) else "serving_default"
        found = loaded.signatures[default](**given)
        encoded = {}
        if takes_pictures(model):
            files = tf.constant(_as_png(next(iter(inputs.arrays.values()))))
            encoded = loaded.signatures["encoded"](image_bytes=files)
    return _raw(model, found), _raw(model, encoded)


def takes_pictures(model: keras.Model) -> bool:
    """Whether a model takes pictures of a fixed size, grey or in colour."""
    tensors = keras.tree.flatten(model.input)
    shape = tensors[0].shape
    return (
        len(tensors) == 1
        and len(shape) == 4
        and None not in shape[1:]
        and shape[-1] in (1, 3)
    )


def _only_tokens(model: keras.Model, inputs: Samples) -> bool:
    return getattr(model, "preprocessor", None) is not None and inputs.texts is None


def _raw(model: keras.Model, found: dict[str, Any]) -> Outputs:
    """Returns the numbers among a signature's outputs by their name in the model."""
    if not found:
        return {}
    several = getattr(model, "targets", None) is not None
    outputs = {}
    for name in named_outputs(model, model.output):
        keys = (f"{name}_probabilities", f"{name}_value") if several else (name,)
        outputs[name] = next(found[key].numpy() for key in keys if key in found)
    return outputs


def _text_spec(pairs: bool) -> Any:
    import tensorflow as tf

    return tf.TensorSpec((None, 2) if pairs else (None,), tf.string, name="text")


def _bytes_spec() -> Any:
    import tensorflow as tf

    return tf.TensorSpec((None,), tf.string, name="image_bytes")


def _texts_function(model: keras.Model) -> Callable[[Any], dict[str, Any]]:
    def run(text: Any) -> dict[str, Any]:
        tokens = trim(model.preprocessor(text))
        return labelled(model, named_outputs(model, model(tokens, training=False)))

    return run


def _encoded_function(model: keras.Model) -> Callable[[Any], dict[str, Any]]:
    import tensorflow as tf

    shape = tuple(keras.tree.flatten(model.input)[0].shape[1:])
    label = labelled_function(model)

    def run(image_bytes: Any) -> dict[str, Any]:
        with tf.device("cpu"):
            pixels = tf.map_fn(
                lambda contents: decode(contents, shape),
                image_bytes,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )
        return label(pixels)

    return run


def decode(contents: Any, shape: tuple[int, int, int]) -> Any:
    """Decodes the bytes of one picture, pixel for pixel as `tl.load_images` does.

    Orientation flags are not read: TensorFlow has no operation for them.

    Args:
        contents: Scalar string tensor.
        shape: `(height, width, channels)` of the result, channels 1 or 3.

    Returns:
        float32 pixels, 0 to 255.
    """
    import tensorflow as tf

    size = tf.constant(shape[:2])

    def jpeg() -> Any:
        # The smallest eighth, quarter or half that is at least as large.
        given = tf.image.extract_jpeg_shape(contents)[:2]
        halvings = [tf.reduce_all(given >= ratio * size) for ratio in (2, 4, 8)]
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
    image = resize_image(tf.ensure_shape(image, (None, None, 3)), size)
    image = tf.ensure_shape(image, (*shape[:2], 3))
    return tf.ensure_shape(
        to_color_mode(image, "grayscale" if shape[-1] == 1 else "rgb"), shape
    )


def _as_png(pixels: np.ndarray) -> list[bytes]:
    import tensorflow as tf

    whole = rounded(pixels).astype("uint8")
    return [tf.io.encode_png(picture).numpy() for picture in whole]


def rounded(pixels: np.ndarray) -> np.ndarray:
    """Returns pixels as a file of 8 bits keeps them."""
    return np.clip(np.round(pixels), 0, 255)
