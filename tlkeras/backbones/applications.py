"""Building the backbones of the table: `keras.applications` and glyphnet."""

import math

import keras

from tlkeras._validation import check_int
from tlkeras.backbones.table import InputShape, TableEntry
from tlkeras.backbones.weights import Weights, find_weights, load_weights_file

# Keras builds EfficientNet with one more scaling layer when it loads the published
# weights: they were trained on pixels divided by the variance, not by its root.
_EFFICIENTNET_FACTORS = [1 / math.sqrt(std) for std in (0.229, 0.224, 0.225)]


def load_entry(
    entry: TableEntry,
    weights: Weights,
    input_shape: InputShape,
) -> tuple[keras.Model, str | None]:
    """Builds a backbone of the table and loads its weights.

    Args:
        entry: The backbone.
        weights: `None` (random), `"pretrained"`, `"imagenet"`, a file or a folder.
        input_shape: As in `full_input_shape`.

    Returns:
        The model, without a classifier, and the licence of its weights where those
        are the published ones.

    Raises:
        FileNotFoundError: If the weights are neither here nor to be had.
        ValueError: If `input_shape` does not suit the backbone or its weights.
    """
    shape = full_input_shape(input_shape, entry.default_shape)
    _check_size(entry, shape)
    if weights is None:
        return build_entry(entry, shape), None
    _check_channels(entry, shape, weights)
    path = find_weights(entry, weights, shape)
    model = build_entry(entry, shape)
    load_weights_file(model, path, entry.name)
    return model, entry.licence if path.name == entry.weights_file(shape) else None


def full_input_shape(
    input_shape: InputShape, default: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Completes an input shape.

    Args:
        input_shape: `int` (a square), `(height, width)`, `(height, width, channels)`
            or `None`.
        default: `(height, width, channels)`: what is left out comes from here.

    Returns:
        `(height, width, channels)`.

    Raises:
        ValueError: If `input_shape` is none of these.
    """
    if input_shape is None:
        return default
    sizes = (
        tuple(input_shape)
        if isinstance(input_shape, tuple | list)
        else (input_shape, input_shape)
    )
    if len(sizes) not in (2, 3):
        raise ValueError(
            "`input_shape` must be a size in pixels, (height, width), or (height, "
            f"width, channels). Received: input_shape={input_shape!r}."
        )
    sizes = (*sizes, *default[len(sizes) :])
    return tuple(check_int("input_shape", size, 1) for size in sizes)


def build_entry(entry: TableEntry, shape: tuple[int, int, int]) -> keras.Model:
    """Builds a backbone of the table with random weights, without its classifier.

    The graph is the one that Keras builds for its pretrained weights, whatever weights
    come later, and the scaling layers in it compute in float32 under any dtype policy.
    """
    if entry.family == "glyphnet":
        from tlkeras.backbones.glyphnet import build_glyphnet

        return build_glyphnet(input_shape=shape)
    constructor = getattr(keras.applications, entry.constructor)
    model = constructor(include_top=False, weights=None, input_shape=shape)
    adds_factors = entry.family == "efficientnet" and shape[-1] == 3
    in_float32 = keras.config.dtype_policy().compute_dtype == "float32"
    if entry.scales_itself and (adds_factors or not in_float32):
        return _with_exact_scaling(model, adds_factors)
    return model


def is_scaling(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is one of Keras' two layers that scale their input."""
    return isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)


def _with_exact_scaling(model: keras.Model, adds_factors: bool) -> keras.Model:
    """Copies `model`: its scaling in float32, EfficientNet's second factor added."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if is_scaling(layer):
            config["dtype"] = "float32"
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if adds_factors and isinstance(layer, keras.layers.Normalization):
            factors = keras.layers.Rescaling(
                _EFFICIENTNET_FACTORS, dtype="float32", name="rescaling_std"
            )
            return factors(outputs)
        return outputs

    return keras.models.clone_model(model, clone_function=clone, call_function=call)


def _check_size(entry: TableEntry, shape: tuple[int, int, int]) -> None:
    if min(shape[:2]) < entry.minimum_size:
        raise ValueError(
            f"{entry.name!r} takes images of at least {entry.minimum_size} x "
            f"{entry.minimum_size} pixels. Received: input_shape={shape}; pass a "
            "larger one, and read the pictures at it: image_size="
            f"{entry.minimum_size}. Or choose another backbone."
        )


def _check_channels(
    entry: TableEntry, shape: tuple[int, int, int], weights: Weights
) -> None:
    needed = entry.default_shape[-1]
    if weights in ("pretrained", "imagenet") and shape[-1] != needed:
        mode = "rgb" if needed == 3 else "grayscale"
        raise ValueError(
            f"The pretrained weights of {entry.name!r} are for images of {needed} "
            f"channel{'s' if needed > 1 else ''}. Received: input_shape={shape}; "
            f"read the pictures with color_mode={mode!r}, or pass weights=None."
        )
