"""The networks that series go through: blocks of Keras layers, by name."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from tlkeras.inputs.series.layers import (
    CausalAttention,
    JoinChannels,
    Patches,
    Positions,
)

PATCH = 8
# So many patches the shipped weights know the places of: 512 steps.
PLACES = 64
LONGEST = PATCH * PLACES


class Network(NamedTuple):
    """A network by name.

    Attributes:
        build: Function of steps and channels.
        longest: Steps of the longest window; `None` for any.
        weights: File of the weights that ship with the package, `None` for none.
        licence: Theirs.
    """

    build: Callable[[int, int], keras.Model]
    longest: int | None = None
    weights: str | None = None
    licence: str | None = None


def build_patch_transformer(
    steps: int,
    channels: int = 1,
    *,
    width: int = 96,
    blocks: int = 3,
    heads: int = 4,
    name: str = "patch_transformer",
) -> keras.Model:
    """Builds a causal transformer of patches of 8 steps, each channel by itself.

    Args:
        steps: Of a window, at most 512.
        channels: Of a window. All go through the same weights.
        width: Of what is known of a patch.
        blocks: How many blocks of attention and a feed-forward network.
        heads: Of each attention.
        name: The model's.

    Returns:
        A functional `keras.Model` from scaled windows and marks `(batch, steps, 2 *
        channels)` to `(batch, patches, channels * width)`; the last patch has seen all.

    Raises:
        ValueError: If `steps` are more than 512.

    Example:

    >>> build_patch_transformer(96, channels=2).output_shape
    (None, 12, 192)

    Reference:
        Nie et al., A Time Series is Worth 64 Words (2023); causal, as in Das et al., A
        decoder-only foundation model for time-series forecasting (2024).
    """
    if steps > LONGEST:
        raise ValueError(
            f"A {name} takes windows of at most {LONGEST} steps. Received: "
            f"steps={steps}. Take shorter windows, every second step, or 'tcn'."
        )
    inputs = keras.Input((steps, 2 * channels), name="scaled")
    x = Patches(PATCH, name="patches")(inputs)
    x = keras.layers.Dense(width, name="embed")(x)
    x = Positions(PLACES, name="positions")(x)
    for number in range(1, blocks + 1):
        block = f"block{number}"
        y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{block}_norm1")(x)
        y = keras.layers.Dense(3 * width, name=f"{block}_qkv")(y)
        y = CausalAttention(heads, name=f"{block}_attention")(y)
        y = keras.layers.Dense(width, name=f"{block}_join")(y)
        x = keras.layers.Add(name=f"{block}_add1")([x, y])
        y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{block}_norm2")(x)
        y = keras.layers.Dense(
            8 * width // 3, activation="gelu", name=f"{block}_widen"
        )(y)
        y = keras.layers.Dense(width, name=f"{block}_narrow")(y)
        x = keras.layers.Add(name=f"{block}_add2")([x, y])
    x = keras.layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    return keras.Model(inputs, JoinChannels(name="channels")(x), name=name)


def build_recurrent(
    layer: type[keras.layers.Layer], name: str, steps: int, channels: int = 1
) -> keras.Model:
    """Builds two recurrent layers of 64 units.

    Args:
        layer: `keras.layers.LSTM` or `keras.layers.GRU`.
        name: The model's.
        steps: Of a window.
        channels: Of a window.

    Returns:
        A functional `keras.Model` from scaled windows and marks `(batch, steps, 2 *
        channels)` to `(batch, steps, 64)`.

    Example:

    >>> build_recurrent(keras.layers.GRU, "gru", 48).output_shape
    (None, 48, 64)

    Reference:
        Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Cho et al., Learning
        Phrase Representations using RNN Encoder-Decoder (2014).
    """
    inputs = keras.Input((steps, 2 * channels), name="scaled")
    x = inputs
    for number in (1, 2):
        x = layer(64, return_sequences=True, name=f"block{number}_{name}")(x)
    return keras.Model(inputs, x, name=name)


def build_tcn(steps: int, channels: int = 1) -> keras.Model:
    """Builds a temporal convolutional network: causal, dilated, residual.

    Args:
        steps: Of a window.
        channels: Of a window.

    Returns:
        A functional `keras.Model` from scaled windows and marks `(batch, steps, 2 *
        channels)` to `(batch, steps, 64)`. Its last step sees 253 steps back.

    Example:

    >>> build_tcn(48).output_shape
    (None, 48, 64)

    Reference:
        Bai et al., An Empirical Evaluation of Generic Convolutional and Recurrent
        Networks for Sequence Modeling (2018).
    """
    inputs = keras.Input((steps, 2 * channels), name="scaled")
    x = keras.layers.Dense(64, name="stem")(inputs)
    for number in range(1, 7):
        block, y = f"block{number}", x
        for step in (1, 2):
            y = keras.layers.Conv1D(
                64,
                3,
                padding="causal",
                dilation_rate=2 ** (number - 1),
                activation="relu",
                name=f"{block}_conv{step}",
            )(y)
        y = keras.layers.LayerNormalization(name=f"{block}_norm")(y)
        x = keras.layers.Add(name=f"{block}_add")([x, y])
    return keras.Model(inputs, x, name="tcn")


NETWORKS = {
    "patch_transformer": Network(
        build_patch_transformer, LONGEST, "patch_transformer.weights.h5", "Apache-2.0"
    ),
    "lstm": Network(
        lambda steps, channels: build_recurrent(
            keras.layers.LSTM, "lstm", steps, channels
        )
    ),
    "gru": Network(
        lambda steps, channels: build_recurrent(
            keras.layers.GRU, "gru", steps, channels
        )
    ),
    "tcn": Network(build_tcn),
}
