"""Whisper's encoder as a backbone of sounds, behind the spectrogram that it reads."""

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras.backbones.hub import fetch, keras_hub, preset_name
from tlkeras.backbones.loaded import LoadedBackbone, refuse_whole_model

_CLASS = "WhisperBackbone"
# What Whisper was trained on: frames of 25 ms every 10 ms, at 16 kHz.
RATE, _WINDOW, _HOP = 16_000, 400, 160


def claims_backbone(backbone: Any) -> bool:
    """Whether `backbone` is a `WhisperBackbone`, a preset's name or a folder of one."""
    if isinstance(backbone, keras.Model):
        return type(backbone).__name__ == _CLASS
    if not isinstance(backbone, (str, os.PathLike)):
        return False
    config = Path(backbone).expanduser() / "config.json"
    if config.is_file():
        known = json.loads(config.read_text(encoding="utf-8"))
        return known.get("class_name") == _CLASS
    return any(part.startswith("whisper_") for part in Path(backbone).parts)


def whisper_presets() -> list[str]:
    """Returns the names of KerasHub's presets of Whisper, sorted."""
    return sorted(keras_hub().models.WhisperBackbone.presets)


def load_encoder(
    backbone: Any, weights: Any = "pretrained", input_shape: Any = None
) -> LoadedBackbone:
    """Loads Whisper's encoder, from `(batch, frames, mels)` to `(batch, n, width)`.

    Args:
        backbone: What `claims_backbone`.
        weights: `"pretrained"` or `None` (random); a model keeps its own.
        input_shape: `None`: it takes no pictures.

    Raises:
        FileNotFoundError: If the preset cannot be downloaded.
        ValueError: If a folder cannot be loaded, or an argument is something else.
    """
    if input_shape is not None:
        raise ValueError(
            "Whisper hears sounds of any length up to 30 seconds, and takes no shape "
            f"in pixels. Received: input_shape={input_shape!r}; leave it out."
        )
    if weights not in ("pretrained", None):
        raise ValueError(
            "`weights` of Whisper must be 'pretrained' or None; give the folder of a "
            f"preset as `backbone` for others. Received: weights={weights!r}."
        )
    if isinstance(backbone, keras.Model):
        refuse_whole_model(backbone)
        whole, name = backbone, backbone.name
    else:
        whole, name = _from_preset(os.fspath(backbone), weights is not None)
    encoder = keras.Model(
        whole.input["encoder_features"],
        whole.output["encoder_sequence_output"],
        name=f"{name}_encoder",
    )
    return LoadedBackbone(encoder, name, None)


def _from_preset(preset: str, load_weights: bool) -> tuple[keras.Model, str]:
    def load(source: str) -> keras.Model:
        models = keras_hub().models
        return models.WhisperBackbone.from_preset(source, load_weights=load_weights)

    files = "`config.json` and `model.weights.h5`, as `backbone.save_to_preset(folder)`"
    companion = "keras_hub.layers.WhisperAudioConverter"
    whole = fetch(preset, load, companion, f"{files} writes them")
    return whole, preset_name(preset)


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
        return (input_shape[0], input_shape[1] // _HOP, self.mels)

    def call(self, inputs):
        half = _WINDOW // 2
        waves = ops.pad(inputs, [[0, 0], [half, half]], mode="reflect")
        parts = ops.conv(ops.expand_dims(waves, -1), _kernels(), strides=_HOP)
        real, imaginary = ops.split(ops.square(parts), 2, axis=-1)
        spectrum = (real + imaginary)[:, : inputs.shape[1] // _HOP]
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
