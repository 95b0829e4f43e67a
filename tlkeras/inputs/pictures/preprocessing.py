"""Pixel scaling: layers from raw 0..255 pixels to what a backbone was trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from tlkeras.backbones.applications import is_scaling
from tlkeras.backbones.table import TableEntry


class Scaling(NamedTuple):
    """`pixels * scale + offset`, on BGR instead of RGB channels where `bgr` says so."""

    scale: float | Sequence[float]
    offset: float | Sequence[float]
    bgr: bool = False


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

# "caffe", "tf" and "torch" are the modes of
# `keras.applications.imagenet_utils.preprocess_input`.
SCALINGS = {
    "unit": Scaling(1 / 255, 0.0),
    "tf": Scaling(1 / 127.5, -1.0),
    "tf128": Scaling(1 / 128, -1.0),
    "torch": Scaling(
        [1 / (255 * std) for std in _IMAGENET_STD],
        [-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)],
    ),
    "caffe": Scaling(1.0, [-103.939, -116.779, -123.68], bgr=True),
}


@keras.saving.register_keras_serializable("tlkeras")
class BGRRescaling(keras.layers.Rescaling):
    """Turns RGB images into BGR images, then scales and shifts each channel.

    VGG and ResNet were trained on images in the channel order of Caffe.

    Args:
        scale: `float` or one per channel, in BGR order.
        offset: `float` or one per channel, in BGR order.
        **kwargs: Those of `keras.layers.Layer`.

    Example:

    >>> from tlkeras.inputs.pictures.preprocessing import BGRRescaling
    >>> layer = BGRRescaling(1.0, [-103.939, -116.779, -123.68])
    >>> red = np.array([[[[255.0, 0.0, 0.0]]]], "float32")
    >>> np.asarray(layer(red)).round().tolist()
    [[[[-104.0, -117.0, 131.0]]]]
    """

    def call(self, inputs):
        return super().call(keras.ops.flip(inputs, axis=-1))


def scaling_layer(scaling: Scaling, channels: int = 3) -> keras.layers.Rescaling:
    """Makes the layer that applies `scaling` to raw 0..255 pixels.

    It computes in float32 whatever the dtype policy: a pixel value minus a mean of
    about 120 loses its digits in bfloat16.

    Args:
        scaling: An entry of `SCALINGS`, or one of your own.
        channels: `int`. Channels of the images. Where it differs from the number of
            channels that `scaling` has values for, their mean serves all channels.

    Returns:
        A `keras.layers.Rescaling` layer, from `(batch, height, width, channels)` to
        the same shape.

    Example:

    >>> from tlkeras.inputs.pictures.preprocessing import SCALINGS, scaling_layer
    >>> white = np.full((1, 1, 1, 3), 255.0, "float32")
    >>> np.asarray(scaling_layer(SCALINGS["tf"])(white)).tolist()
    [[[[1.0, 1.0, 1.0]]]]
    """
    layer_class = BGRRescaling if scaling.bgr else keras.layers.Rescaling
    return layer_class(
        _per_channel(scaling.scale, channels),
        _per_channel(scaling.offset, channels),
        dtype="float32",
        name="preprocessing",
    )


def entry_scaling_layer(
    entry: TableEntry, model: keras.Model, channels: int
) -> keras.layers.Layer | None:
    """Makes the scaling that `model`, built from `entry`, needs before its input.

    Args:
        entry: What `model` was built from.
        model: `keras.Model`. With `include_preprocessing=False` a family that
            usually scales its own input does not.
        channels: `int`. Channels of the images.

    Returns:
        A layer, or `None` where the model scales its input itself.
    """
    if entry.scales_itself and scales_its_input(model):
        return None
    return scaling_layer(SCALINGS[entry.scaling], channels)


def scales_its_input(model: keras.Model) -> bool:
    """Whether `model` begins with a `Rescaling` or `Normalization` layer of its own.

    Layers without weights (augmentation, padding) may precede it.
    """
    for layer in model.layers:
        if is_scaling(layer):
            return True
        if isinstance(layer, keras.Model):
            return scales_its_input(layer)
        if layer.weights:
            return False
    return False


def _per_channel(values: float | Sequence[float], channels: int) -> float | list[float]:
    if isinstance(values, int | float):
        return float(values)
    values = [float(value) for value in values]
    return values if len(values) == channels else sum(values) / len(values)
