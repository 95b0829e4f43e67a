"""Glyphnet: the small grey-image backbone whose weights ship with the package."""

from pathlib import Path

import keras

from tlkeras._validation import check_int

# Filters of the convolutions of each block; every block but the last halves the sides.
_BLOCKS = ((16,), (32, 32), (64, 64), (128, 128))
# The sides are halved three times, and a pixel must be left.
_SMALLEST_SIDE = 8


def build_glyphnet(
    input_shape: tuple[int, int, int] = (32, 32, 1), name: str = "glyphnet"
) -> keras.Model:
    """Builds the glyphnet backbone with random weights.

    Four blocks of 3x3 convolutions, each followed by batch normalization and a ReLU,
    with max pooling between the blocks: 292,304 parameters. Every layer of a block is
    named after it (`block2_conv1`, `block2_bn1`, ...), so that `"block2"` is a freeze
    point. The moving statistics follow the batches quickly (momentum 0.9), because the
    network is also trained from scratch on a few dozen images.

    The pretrained weights expect bright ink on a dark ground, one glyph that fills
    most of the image; invert pictures of dark ink on white paper.

    Args:
        input_shape: Height and width in pixels, at least 8 each, and channels. The
            pretrained weights are for one channel and were made at 32x32. Pixels are
            scaled to 0..1 before they reach the network.
        name: The model's name.

    Returns:
        A functional `keras.Model` that ends in a feature map of an eighth of the sides
        and 128 channels: `(batch, 4, 4, 128)` for 32x32.

    Raises:
        ValueError: If `input_shape` is not three whole numbers, or a side is below 8.

    Example:

    >>> from tlkeras.backbones.glyphnet import build_glyphnet, glyphnet_weights_path
    >>> backbone = build_glyphnet()
    >>> backbone.load_weights(glyphnet_weights_path())
    >>> backbone.output_shape
    (None, 4, 4, 128)

    Reference:
        The plan (3x3 convolutions in blocks of doubling width) is that of
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), with the batch
        normalization of [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167).
    """
    inputs = keras.Input(_checked_shape(input_shape), name="pixels")
    x = inputs
    for number, filters in enumerate(_BLOCKS, start=1):
        block = f"block{number}"
        for step, width in enumerate(filters, start=1):
            x = keras.layers.Conv2D(
                width, 3, padding="same", use_bias=False, name=f"{block}_conv{step}"
            )(x)
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{block}_bn{step}")(
                x
            )
            x = keras.layers.Activation("relu", name=f"{block}_relu{step}")(x)
        if number < len(_BLOCKS):
            x = keras.layers.MaxPooling2D(name=f"{block}_pool")(x)
    return keras.Model(inputs, x, name=name)


def glyphnet_weights_path() -> Path:
    """Returns the path of the pretrained weights that ship with the package.

    `tests/benchmarks/glyphnet_pretrain.py` in the repository makes them.

    Returns:
        The path of a `.weights.h5` file for `build_glyphnet()`.

    Example:

    >>> from tlkeras.backbones.glyphnet import glyphnet_weights_path
    >>> glyphnet_weights_path().name
    'glyphnet.weights.h5'
    """
    return Path(__file__).with_name("glyphnet.weights.h5")


def _checked_shape(input_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(
            "`input_shape` must be (height, width, channels). "
            f"Received: input_shape={input_shape!r}."
        )
    smallest = (_SMALLEST_SIDE, _SMALLEST_SIDE, 1)
    return tuple(
        check_int(f"input_shape[{axis}]", size, least)
        for axis, (size, least) in enumerate(zip(input_shape, smallest, strict=True))
    )
