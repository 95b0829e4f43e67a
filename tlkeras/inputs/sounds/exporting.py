"""Sounds in an export: the signature that decodes WAV files, files to check it on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tlkeras.inputs.sounds.showing import as_wav


def encoded(
    label: Callable[[Any], dict[str, Any]], sample_rate: int, samples: int
) -> tuple[Callable[[Any], dict[str, Any]], list[Any]]:
    """Returns the function of a SavedModel that takes files, and what it takes.

    Args:
        label: A function of waves `(batch, samples)`.
        sample_rate: Samples per second of the waves.
        samples: Samples of a window.
    """
    import tensorflow as tf

    def run(wav_bytes: Any) -> dict[str, Any]:
        with tf.device("cpu"):
            waves = tf.map_fn(
                lambda contents: decode(contents, sample_rate, samples),
                wav_bytes,
                fn_output_signature=tf.TensorSpec((samples,), tf.float32),
            )
        return label(waves)

    return run, [tf.TensorSpec((None,), tf.string, name="wav_bytes")]


def decode(contents: Any, sample_rate: int, samples: int) -> Any:
    """Decodes the bytes of one WAV file of 16 bits as training reads it.

    Args:
        contents: Scalar string tensor.
        sample_rate: Samples per second that it must have; TensorFlow has no operation
            that resamples.
        samples: Samples of the window: the middle of what is longer, and what is
            shorter amid silence.

    Returns:
        float32 `(samples,)`.
    """
    import tensorflow as tf

    channels, rate = tf.audio.decode_wav(contents)
    right = tf.debugging.assert_equal(
        rate, sample_rate, f"WAV files must have {sample_rate} samples per second"
    )
    with tf.control_dependencies([right]):
        wave = tf.reduce_mean(channels, axis=1)
    start = (tf.shape(wave)[0] - samples) // 2
    wave = wave[tf.maximum(start, 0) :][:samples]
    before = tf.maximum(-start, 0)
    after = samples - before - tf.shape(wave)[0]
    return tf.ensure_shape(tf.pad(wave, [[before, after]]), (samples,))


def as_wavs(waves: np.ndarray, sample_rate: int) -> list[bytes]:
    """Returns waves `(n, samples)` as WAV files of 16 bits."""
    return [as_wav(wave, sample_rate) for wave in waves]


def rounded(waves: np.ndarray) -> np.ndarray:
    """Returns waves as a file of 16 bits keeps them."""
    return (np.clip(np.round(waves * 32768), -32768, 32767) / 32768).astype("float32")
