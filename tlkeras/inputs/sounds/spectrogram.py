"""The layer from waves to log-mel spectrograms, as pictures that a backbone takes."""

import functools

import keras
import numpy as np
from keras import ops

from tlkeras._validation import check_choice, check_int, check_number

# Frames of 25 ms every 10 ms, as Kaldi and HTK compute them for speech.
_WINDOW, _HOP = 0.025, 0.010
# The widest that bins of the Fourier transform may be apart: wider ones would leave
# the narrow mel bands of low pitches without any.
_BIN_HERTZ = 24
_LOWEST_HERTZ = 20.0
# What is so far below the loudest place of a sound is black. Of spoken digits of six
# speakers, each in turn unheard, logistic regression on frozen features of MobileNetV2
# knew 0.33 with 80, 0.38 with 60, 0.40 with 45: what is lower is the room, not speech.
_DECIBELS = 50.0
# What counts as loudest where levels are to full scale: a sine of full scale reaches
# 5 dB, as its power is spread over several bins.
_FULL_SCALE = 6.0
# Sounds whose loudest place is below it, of full scale, are not raised further:
# silence stays black.
_QUIETEST = -60.0
# Below any recording of 24 bits.
_LEAST_POWER = 1e-14


@keras.saving.register_keras_serializable("tlkeras")
class LogMelSpectrogram(keras.layers.Layer):
    """Turns waves into log-mel spectrograms with values from 0 to 255.

    Power in mel bands, in decibels below the loudest place of the same sound: 255 is
    that place, 0 is 50 dB below it or less. Low pitches are at the bottom, time runs
    from left to right. So it is a grey picture that backbones of pictures take.

    `keras.layers.MelSpectrogram` falls short of it: its `top_db` goes by the loudest
    of a batch, so that answers depend on their neighbours, and its Fourier transform
    has no counterpart in ONNX. Here the transform is a convolution with fixed kernels,
    which every runtime has.

    Args:
        sample_rate: Samples per second.
        mels: Mel bands, the picture's height.
        relative: Whether levels are relative to each sound's loudest place. `False`:
            to full scale, so that loudness can be seen.
        pooling: How many frames, 10 ms apart, are averaged into one column.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32.

    Example:

    >>> from tlkeras.inputs.sounds.spectrogram import LogMelSpectrogram
    >>> layer = LogMelSpectrogram(8_000, mels=32)
    >>> wave = np.sin(np.arange(8_000) * 2 * np.pi * 440 / 8_000)[None]
    >>> picture = np.asarray(layer(wave))
    >>> picture.shape, float(picture.max())
    ((1, 32, 101, 1), 255.0)

    Reference:
        Hershey et al., CNN Architectures for Large-Scale Audio Classification (2017).
    """

    def __init__(
        self,
        sample_rate: int,
        mels: int = 64,
        relative: bool = True,
        pooling: int = 1,
        **kwargs,
    ):
        # Powers span ten orders of magnitude.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.sample_rate = check_int("sample_rate", sample_rate, 1)
        self.mels = check_int("mels", mels, 1)
        self.relative = bool(check_choice("relative", relative, (True, False)))
        self.pooling = check_int("pooling", pooling, 1)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return max(1, round(_HOP * self.sample_rate))

    def columns(self, samples: int) -> int:
        """Returns the width of the picture of a wave."""
        return (samples // self.hop + 1) // self.pooling

    def compute_output_shape(self, input_shape):
        columns = self.columns(known_length(self, input_shape))
        return (input_shape[0], self.mels, columns, 1)

    def call(self, inputs):
        kernels, bands = _kernels(self.sample_rate, self.mels)
        half = kernels.shape[0] // 2
        # Each frame is around its place in time.
        waves = ops.pad(ops.expand_dims(inputs, -1), [[0, 0], [half, half], [0, 0]])
        parts = ops.square(ops.conv(waves, kernels, strides=self.hop))
        real, imaginary = ops.split(parts, 2, axis=-1)
        power = ops.matmul(real + imaginary, bands)
        power = power[:, : known_length(self, inputs.shape) // self.hop + 1]
        if self.pooling > 1:
            power = ops.average_pool(power, self.pooling, data_format="channels_last")
        level = ops.log(ops.maximum(power, _LEAST_POWER)) * (10 / np.log(10))
        loudest = _FULL_SCALE
        if self.relative:
            loudest = ops.max(level, axis=(1, 2), keepdims=True)
            loudest = ops.maximum(loudest, _QUIETEST)
        shares = ops.clip((level - loudest) / _DECIBELS + 1, 0.0, 1.0)
        return ops.expand_dims(ops.transpose(255.0 * shares, (0, 2, 1)), -1)

    def get_config(self):
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "mels": self.mels,
            "relative": self.relative,
            "pooling": self.pooling,
        }


def known_length(layer: keras.Layer, shape: tuple[int | None, ...]) -> int:
    """Returns the samples of waves of a shape, the same of every batch.

    Raises:
        ValueError: If the graph does not know them, as batches of several lengths came.
    """
    if shape[1] is None:
        raise ValueError(
            f"{layer.name!r} needs waves of one length. Received: batches of several. "
            "Pass those that the model takes, `model.input_shape`; `model.classify` "
            "takes sounds of any length."
        )
    return shape[1]


@functools.lru_cache(maxsize=8)
def _kernels(sample_rate: int, mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the Fourier transform's kernels, and the mel bands of its bins.

    Returns:
        float32 `(window, 1, 2 * bins)`: cosines, then sines, under a Hann window, so
        scaled that a sine of full scale has power 1; and float32 `(bins, mels)`.
    """
    window = max(4, round(_WINDOW * sample_rate))
    length = 2 ** int(np.ceil(np.log2(max(window, sample_rate / _BIN_HERTZ))))
    hann = np.hanning(window + 1)[:-1]
    angles = (
        2 * np.pi / length * np.outer(np.arange(window), np.arange(length // 2 + 1))
    )
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    kernels = waves * (hann / (hann.sum() / 2))[:, None]
    bands = _mel_bands(sample_rate, length, mels)
    used = np.flatnonzero(bands.any(axis=1))
    columns = np.concatenate([used, used + length // 2 + 1])
    return (
        kernels[:, None, columns].astype("float32"),
        # The highest first: a picture begins at its top.
        np.ascontiguousarray(bands[used, ::-1], "float32"),
    )


def _mel_bands(sample_rate: int, length: int, mels: int) -> np.ndarray:
    """Returns what each bin gives to each mel band, `(bins, mels)`, on HTK's scale."""
    hertz = np.arange(length // 2 + 1) * sample_rate / length

    def mel(frequency):
        return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)

    edges = np.linspace(mel(_LOWEST_HERTZ), mel(sample_rate / 2), mels + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    at = mel(hertz)[:, None]
    rising, falling = (at - low) / (middle - low), (high - at) / (high - middle)
    return np.maximum(0.0, np.minimum(rising, falling))


def check_rate(argument: str, value: object) -> int:
    """Returns a sample rate in samples per second, or raises `ValueError`."""
    rate = check_int(argument, value, 1)
    if rate < 1000:
        raise ValueError(
            f"`{argument}` must be samples per second, such as 16_000. Received: "
            f"{argument}={value!r}: are these kilohertz?"
        )
    return rate


def check_seconds(argument: str, value: object) -> float:
    """Returns how long sounds are, at least two frames, or raises `ValueError`."""
    return float(check_number(argument, value, minimum=2 * _WINDOW))
