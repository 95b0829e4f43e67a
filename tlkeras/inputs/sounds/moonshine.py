"""Moonshine's encoder as a backbone of sounds, which hears waves themselves."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras.backbones.hub import keras_hub

# What KerasHub's converter takes, as Moonshine's own code does.
_SECONDS = 0.1, 64.0


def seconds(whole: keras.Model) -> tuple[float, float]:
    """Returns the shortest and the longest sound that a `MoonshineBackbone` takes."""
    return _SECONDS


def heard(waves: keras.KerasTensor, encoder: keras.Model) -> keras.KerasTensor:
    """Returns waves `(batch, samples)` as the encoder takes them, with a channel."""
    samples = waves.shape[1]
    return keras.layers.Reshape((samples, 1), dtype="float32", name="channel")(waves)


def encoder(whole: keras.Model, name: str) -> keras.Model:
    """Returns the encoder of a `MoonshineBackbone`, which hears all of a window.

    One tensor leads from each of its layers to the next, so that it can be frozen and
    cached at each. In KerasHub's own graph the blocks also read the angles of all
    places, which belong to no example of a batch, and a mask of what is no sound.

    Args:
        whole: The KerasHub model. Its layers are shared.
        name: The Keras name of the encoder.

    Returns:
        Functional `keras.Model`, from `(batch, samples, 1)` to `(batch, places,
        width)`.
    """
    waves = keras.Input((None, 1), dtype="float32", name="encoder_input_values")
    x = whole.group_norm(whole.tanh_after_conv1(whole.conv1(waves)))
    x = whole.gelu_after_conv2(whole.conv2(x))
    x = whole.gelu_after_conv3(whole.conv3(x))
    x = whole.encoder_dropout(x)
    frequencies = np.asarray(whole.encoder_rotary_embedding.inv_freq).tolist()
    for block in whole.encoder_blocks:
        x = MoonshineBlock(block, frequencies, name=block.name)(x)
    return keras.Model(waves, whole.encoder_final_layer_norm(x), name=name)


@keras.saving.register_keras_serializable("tlkeras")
class MoonshineBlock(keras.layers.Layer):
    """A block of Moonshine's encoder that knows the places of what it reads.

    Args:
        block: KerasHub's `MoonshineEncoderBlock`, or its configuration.
        frequencies: Radians that the embedding of a place turns by from one place to
            the next (RoPE).
        **kwargs: Those of `keras.layers.Layer`.

    Reference:
        Jeffries et al., Moonshine: Speech Recognition for Live Transcription and Voice
        Commands (2024).
    """

    def __init__(self, block: Any, frequencies: Sequence[float], **kwargs):
        if isinstance(block, dict):
            keras_hub()  # Registers the block with Keras.
            block = keras.saving.deserialize_keras_object(block)
        super().__init__(**{"dtype": block.dtype_policy, **kwargs})
        self.block, self.frequencies = block, list(frequencies)

    def build(self, input_shape):
        if not self.block.built:
            self.block.build(input_shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, training=None):
        places = ops.arange(ops.shape(inputs)[1], dtype="float32")
        angles = ops.outer(places, np.asarray(self.frequencies, "float32"))
        return self.block(inputs, ops.repeat(angles, 2, axis=1), training=training)

    def get_config(self):
        block = keras.saving.serialize_keras_object(self.block)
        return {
            **super().get_config(),
            "block": block,
            "frequencies": self.frequencies,
        }
