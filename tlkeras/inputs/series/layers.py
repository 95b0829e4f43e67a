"""Layers of backbones of series that Keras does not have, none of them with choices."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("tlkeras")
class Patches(keras.layers.Layer):
    """Cuts windows into patches, each channel by itself.

    A window whose length is no multiple of the patch is filled up at its beginning
    with steps that are marked as missing.

    Args:
        size: Steps of a patch.

    Call arguments: `(batch, steps, 2 * channels)`, as `WindowScaling` gives them.

    Returns: `(batch, channels, patches, 2 * size)`: values, then marks.

    Example:

    >>> Patches(4)(np.zeros((1, 6, 2))).shape.as_list()
    [1, 1, 2, 8]

    Reference:
        Nie et al., A Time Series is Worth 64 Words (2023).
    """

    def __init__(self, size=8, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, windows):
        steps, channels = windows.shape[1], windows.shape[2] // 2
        short = -steps % self.size
        if short:
            fill = [np.zeros(channels), np.ones(channels)]
            fill = ops.cast(np.concatenate(fill), windows.dtype)
            ahead = ops.zeros_like(windows[:, :1]) + fill
            windows = ops.concatenate([ops.repeat(ahead, short, axis=1), windows], 1)
        patches = (steps + short) // self.size
        x = ops.reshape(windows, (-1, patches, self.size, 2, channels))
        x = ops.transpose(x, (0, 4, 1, 3, 2))
        return ops.reshape(x, (-1, channels, patches, 2 * self.size))

    def compute_output_shape(self, input_shape):
        batch, steps, width = input_shape
        return batch, width // 2, -(-steps // self.size), 2 * self.size

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("tlkeras")
class Positions(keras.layers.Layer):
    """Adds to each patch what is learnt of its place, the first place first.

    Args:
        places: How many there are.

    Call arguments: `(batch, channels, patches, width)`.

    Example:

    >>> Positions(4)(np.zeros((1, 1, 3, 8))).shape.as_list()
    [1, 1, 3, 8]
    """

    def __init__(self, places, **kwargs):
        super().__init__(**kwargs)
        self.places = places

    def build(self, input_shape):
        self.embedding = self.add_weight(
            name="embedding",
            shape=(self.places, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, x):
        return x + ops.cast(self.embedding[: x.shape[2]], x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "places": self.places}


@keras.saving.register_keras_serializable("tlkeras")
class CausalAttention(keras.layers.Layer):
    """Attention of each patch to itself and those before it, of the same channel.

    It has no weights: queries, keys and values come from a Dense layer before it.

    Args:
        heads: How many.

    Call arguments: queries, keys and values side by side, `(batch, channels, patches, 3
    * width)`.

    Returns: `(batch, channels, patches, width)`.

    Example:

    >>> CausalAttention(2)(np.zeros((1, 1, 3, 24))).shape.as_list()
    [1, 1, 3, 8]

    Reference:
        Vaswani et al., Attention Is All You Need (2017).
    """

    def __init__(self, heads=4, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, x):
        channels, patches, width = x.shape[1], x.shape[2], x.shape[3] // 3
        size = width // self.heads
        x = ops.reshape(x, (-1, channels, patches, 3, self.heads, size))
        query, key, value = ops.unstack(ops.transpose(x, (3, 0, 1, 4, 2, 5)), 3)
        scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) / np.sqrt(size).item()
        later = np.triu(np.full((patches, patches), -1e9, "float32"), 1)
        shares = ops.softmax(ops.cast(scores, "float32") + later, axis=-1)
        x = ops.matmul(ops.cast(shares, value.dtype), value)
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        return ops.reshape(x, (-1, channels, patches, width))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 3)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("tlkeras")
class JoinChannels(keras.layers.Layer):
    """Puts what is known of each channel side by side.

    Call arguments: `(batch, channels, patches, width)`.

    Returns: `(batch, patches, channels * width)`.

    Example:

    >>> JoinChannels()(np.zeros((1, 2, 3, 8))).shape.as_list()
    [1, 3, 16]
    """

    def call(self, x):
        _, channels, patches, width = x.shape
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (-1, patches, channels * width))

    def compute_output_shape(self, input_shape):
        batch, channels, patches, width = input_shape
        return batch, patches, channels * width
