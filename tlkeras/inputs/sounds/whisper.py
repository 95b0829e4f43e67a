"""Whisper's encoder as a backbone of sounds, behind the spectrogram that it reads."""

import keras
import numpy as np
from keras import ops

from tlkeras.backbones.hub import keras_hub
from tlkeras.inputs.sounds.spectrogram import known_length

# What Whisper was trained on: frames of 25 ms every 10 ms, at 16 kHz.
_RATE, _WINDOW, _HOP = 16_000, 400, 160


def seconds(whole: keras.Model) -> tuple[float, float]:
    """Returns the shortest and the longest sound that a `WhisperBackbone` takes."""
    return 0.0, whole.max_encoder_sequence_length * _HOP / _RATE


def encoder(whole: keras.Model, name: str) -> keras.Model:
    """Returns the encoder of a `WhisperBackbone`.

    Args:
        whole: The KerasHub model. Its layers are shared.
        name: The Keras name of the encoder.

    Returns:
        Functional `keras.Model`, from `(batch, frames, mels)` to `(batch, places,
        width)`.
    """
    return keras.Model(
        whole.input["encoder_features"],
        whole.output["encoder_sequence_output"],
        name=name,
    )


def heard(waves: keras.KerasTensor, encoder: keras.Model) -> keras.KerasTensor:
    """Returns the spectrogram of waves `(batch, samples)` that the encoder takes."""
    return WhisperSpectrogram(encoder.input_shape[-1], name="spectrogram")(waves)


@keras.saving.register_keras_serializable("tlkeras")
class WhisperSpectrogram(keras.layers.Layer):
    """Turns waves of 16 kHz into the log-mel features that Whisper was trained on.

    It gives what `keras_hub.layers.WhisperAudioConverter` gives, as a layer of a model:
    as many frames as the wave has, not those of 30 seconds.

    Args:
        mels: Mel bands: 80, of the largest models 128.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32.

    Reference:
        Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision
        (2022).
    """

    def __init__(self, mels: int = 80, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.mels = mels
        converter = keras_hub().layers.WhisperAudioConverter(num_mels=mels)
        self._bands = np.asarray(converter.mel_filters, "float32")

    def compute_output_shape(self, input_shape):
        frames = known_length(self, input_shape) // _HOP
        return (input_shape[0], frames, self.mels)

    def call(self, inputs):
        half = _WINDOW // 2
        waves = ops.pad(inputs, [[0, 0], [half, half]], mode="reflect")
        parts = ops.conv(ops.expand_dims(waves, -1), _kernels(), strides=_HOP)
        real, imaginary = ops.split(ops.square(parts), 2, axis=-1)
        spectrum = (real + imaginary)[:, : known_length(self, inputs.shape) // _HOP]
        power = ops.matmul(spectrum, self._bands)
        level = ops.log(ops.maximum(power, 1e-10)) / np.log(10)
        level = ops.maximum(level, ops.max(level, axis=(1, 2), keepdims=True) - 8)
        return (level + 4) / 4

    def get_config(self):
        return {**super().get_config(), "mels": self.mels}


def _kernels() -> np.ndarray:
    """Returns the kernels of a Fourier transform, float32 `(window, 1, 2 * bins)`."""
    bins = np.arange(_WINDOW // 2 + 1)
    angles = 2 * np.pi / _WINDOW * np.outer(np.arange(_WINDOW), bins)
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    hann = np.hanning(_WINDOW + 1)[:-1]
    return (waves * hann[:, None])[:, None].astype("float32")
